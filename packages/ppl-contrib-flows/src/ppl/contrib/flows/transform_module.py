"""The base of transforms that are learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.errors import IntractableError


class _Known(NamedTuple):
    """A value of the transform, its argument, and which of the two was made from the other."""

    x: Tensor
    y: Tensor
    log_det: Tensor | None
    made: Tensor
    params: tuple[Any, ...]


class TransformModule(Transform, torch.nn.Module):
    """A transform with learnable parameters: at once a torch transform and a torch module.

    Derived classes set ``domain``, ``codomain`` and ``bijective``. They implement either
    ``_forward(x) -> (y, log_det)`` and ``_inverse(y)``, or, like those of torch, ``_call(x)``,
    ``_inverse(y)`` and ``log_abs_det_jacobian(x, y)``. The most recent forward value is kept, so
    that a draw is scored without an inverse, which may be expensive. It is used only for that very
    tensor, for unchanged parameters, and where derivatives with respect to them are not lost.

    Args:
        args: Arguments of :class:`torch.distributions.Transform`.
        kwargs: The same by name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch.nn.Module.__init__(self)
        Transform.__init__(self, *args, **kwargs)
        self._recent: _Known | None = None
        self._solved: _Known | None = None

    __hash__ = torch.nn.Module.__hash__  # Transform defines equality, a module must be hashable

    def __call__(self, x: Tensor) -> Tensor:
        """Return the image of ``x``."""
        y, log_det = self._forward(x)
        self._recent = _Known(x, y, log_det, y, self._fingerprint())
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        recent = self._recent
        if recent is not None and recent.y is y and self._is_valid(recent):
            return recent.x
        x, log_det = self._inverse_and_log_det(y)
        self._solved = None if log_det is None else _Known(x, y, log_det, x, self._fingerprint())
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``log |det dy/dx|``, in the batch shape of ``x``."""
        for known in (self._recent, self._solved):
            if known is not None and known.x is x and known.y is y and self._is_valid(known):
                log_det = known.log_det
                break
        else:
            log_det = self._forward(x)[1]
        if log_det is None:
            raise IntractableError(
                f"{type(self).__name__} defines _call but no log_abs_det_jacobian; define it, or "
                "replace _call by _forward(x), which returns the image and the log determinant"
            )
        return log_det

    def _forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """Return the image of ``x`` and the log of the absolute Jacobian determinant there."""
        call: Any = self._call
        return call(x), None  # log_abs_det_jacobian is then that of the derived class

    def _inverse(self, y: Tensor) -> Tensor:
        """Return what has the image ``y``, without the most recent value."""
        raise NotImplementedError

    def _inverse_and_log_det(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what has the image ``y``, and the log determinant if the inverse comes with it."""
        return self._inverse(y), None

    def clear_cache(self) -> None:
        """Forget the most recent values."""
        self._recent = self._solved = None

    def with_cache(self, cache_size: int = 1) -> TransformModule:
        """Return the transform itself, which always keeps its most recent value."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**state, "_recent": None, "_solved": None}  # tensors of a graph cannot be copied

    def _is_valid(self, known: _Known) -> bool:
        """Whether a value is that of today's parameters, and knows how it depends on them."""
        if known.params != self._fingerprint():
            return False
        is_learning = torch.is_grad_enabled() and any(t.requires_grad for t in self._tensors())
        return known.made.requires_grad or not is_learning

    def _fingerprint(self) -> tuple[Any, ...]:
        return tuple((id(t), t._version, t.requires_grad) for t in self._tensors())

    def _tensors(self) -> Iterator[Tensor]:
        """Return all that the transform depends on, be it learned or given."""
        # asked at each use of a flow; parameters() and buffers() take twice as long
        modules: list[torch.nn.Module | None] = [self]
        while modules:
            module = modules.pop()
            if module is not None:
                modules.extend(module._modules.values())
                for tensors in (module._parameters, module._buffers):
                    yield from (t for t in tensors.values() if t is not None)
