"""Plates that use a random subset of their elements."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..arguments import as_tensor, named, wrong_type
from ..distribution import Distribution
from ..errors import PlateError
from .cond_indep_stack_frame import CondIndepStackFrame
from .indep_messenger import UNKNOWN, IndepMessenger, as_size
from .messenger import public_name
from .runtime import am_i_wrapped, apply_stack, new_message


class _Subsample(Distribution):
    """The indices of a plate, as a sample site: replayed with the trace it is in, never scored.

    They are drawn, unless they are ``given``.  ``coords`` are the labels of the whole plate.
    """

    is_subsample = True

    def __init__(
        self,
        size: int,
        subsample_size: int,
        device: str | torch.device | None,
        given: Any,
        coords: list[Any] | None = None,
    ) -> None:
        self.size, self.subsample_size, self.device = size, subsample_size, device
        self.given, self.coords = given, coords
        self.batch_shape, self.event_shape = torch.Size(), torch.Size((subsample_size,))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Any:
        if self.given is not None:
            return self.given
        if self.subsample_size >= self.size:
            return torch.arange(self.size, device=self.device)
        return torch.randperm(self.size, device=self.device)[: self.subsample_size]

    def log_prob(self, x: Any) -> Tensor:
        """Return zero, so that a scaled subsample estimates the full log density without bias."""
        return torch.zeros((), device=getattr(x, "device", None))

    def __call__(self) -> Any:
        return self.sample()


class SubsampleMessenger(IndepMessenger):
    """An independence context over a subset of its elements.

    Args:
        name: A name, unique within the program.
        size: The number of elements; None if ``subsample`` holds all of them.
        subsample_size: How many elements to draw without replacement; default: all, in order.
        subsample: The indices to use, instead of drawing them; those of a trace that is replayed
            come first.
        dim: The (negative) batch dimension.
        use_cuda: Deprecated spelling of ``device="cuda"``.
        device: Where indices live.
        coords: A label for each element of the whole plate.
    """

    @named("plate")
    def __init__(
        self,
        name: str,
        size: int | None = None,
        subsample_size: int | None = None,
        subsample: Any = None,
        dim: int | None = None,
        use_cuda: bool | None = None,
        device: str | torch.device | None = None,
        coords: Any = None,
    ) -> None:
        device = "cuda" if use_cuda and device is None else device
        size = as_size(name, "size", size)
        subsample_size = as_size(name, "subsample_size", subsample_size)
        is_known = size is not None
        if size is None:
            if subsample_size is not None or subsample is not None:
                raise PlateError(
                    f"plate {name!r}: subsampling needs the size of the whole plate, got size=None",
                    site=name,
                )
            size = UNKNOWN
        super().__init__(name, size, dim, device)
        self.coords: list[Any] | None = None if coords is None else self._labels(coords)
        self.subsample_size: int = size
        self._is_whole = False
        if is_known:
            self._choose(subsample_size, subsample)

    def __repr__(self) -> str:
        parts = [repr(self.name)] + ([] if self.size == UNKNOWN else [str(self.size)])
        is_part = self.size != UNKNOWN and not self._is_whole
        parts += [f"subsample_size={self.subsample_size}"] if is_part else []
        parts += [f"dim={self.dim}"] if self.dim is not None else []
        return f"{public_name(type(self))}({', '.join(parts)})"

    def _choose(self, subsample_size: int | None, subsample: Any) -> None:
        """Draw, or take over, the indices of this execution."""
        if subsample is not None:
            self._check_indices(subsample)
            if subsample_size is not None and subsample_size != len(subsample):
                raise PlateError(
                    f"plate {self.name!r}: subsample has length {len(subsample)}, but "
                    f"subsample_size is {subsample_size}; leave subsample_size out",
                    site=self.name,
                )
            subsample_size = len(subsample)
        wanted = None if subsample_size is None else min(subsample_size, self.size)
        subsample_size = self.size if wanted is None else wanted
        fn = _Subsample(self.size, subsample_size, self.device, subsample, self.coords)
        chosen = _emit(self.name, fn)
        if len(chosen) != subsample_size:  # replayed from an execution with another batch size
            subsample_size = self._replayed_size(wanted, len(chosen))
        if subsample_size == 0 < self.size:
            raise PlateError(
                f"plate {self.name!r}: a subsample of none of its {self.size} elements has no "
                "scale; leave the plate out, or take at least one",
                site=self.name,
            )
        self.subsample_size, self._indices = subsample_size, chosen
        self._is_whole = subsample is None and subsample_size == self.size

    def _labels(self, coords: Any) -> list[Any]:
        """Return a label for each element, as plain Python values where they are of an array."""
        if isinstance(coords, str) or not hasattr(coords, "__iter__"):
            wanted = "a sequence of labels, one for each element"
            raise wrong_type(f"plate {self.name!r}: coords", wanted, coords, self.name)
        if self.size == UNKNOWN:
            raise PlateError(
                f"plate {self.name!r}: coords need the size of the plate: pass "
                f"plate({self.name!r}, len(labels), coords=labels)",
                site=self.name,
            )
        labels = coords.tolist() if hasattr(coords, "tolist") else list(coords)
        if len(labels) != self.size or len({str(label) for label in labels}) != self.size:
            raise PlateError(
                f"plate {self.name!r}: coords must be {self.size} different labels, one for each "
                f"element, got {labels}",
                site=self.name,
            )
        return labels

    def _check_indices(self, subsample: Any) -> None:
        """Refuse what are no indices; which numbers they are, nobody may look at."""
        indices = as_tensor(subsample, f"plate {self.name!r}: subsample", self.name)
        if indices.dim() != 1 or indices.is_floating_point() or indices.dtype is torch.bool:
            raise PlateError(
                f"plate {self.name!r}: subsample must be a list or a tensor of integers, the "
                f"indices to use, got {subsample!r}",
                site=self.name,
            )

    def _replayed_size(self, wanted: int | None, size: int) -> int:
        """Return the size of a replayed subsample, unless the program asks for another one."""
        if wanted is None:
            return size
        raise PlateError(
            f"plate {self.name!r}: the program asks for subsample_size={wanted}, but the trace to "
            f"replay has {size} elements; use one subsample_size in model and guide",
            site=self.name,
        )

    def _frame(self) -> CondIndepStackFrame:
        return CondIndepStackFrame(
            self.name, self.dim, self.subsample_size, self.counter, self.size
        )

    def _process_message(self, msg: dict[str, Any]) -> None:
        if self.subsample_size != self.size:
            msg["scale"] = msg["scale"] * (self.size / self.subsample_size)
        super()._process_message(msg)

    def _postprocess_message(self, msg: dict[str, Any]) -> None:
        super()._postprocess_message(msg)
        if msg["type"] in ("param", "subsample") and self.dim is not None:
            self._take_subsample(msg)

    def _take_subsample(self, msg: dict[str, Any]) -> None:
        """Reduce a full-size value to this plate's indices, at this plate's dimension."""
        event_dim = msg["kwargs"].get("event_dim")
        if event_dim is None or self.size == UNKNOWN:
            return
        dim = self.dim - event_dim
        value = msg["value"]
        if value.dim() < -dim or value.shape[dim] == 1:
            return
        if value.shape[dim] != self.size:
            raise PlateError(
                f"{msg['type']} {msg['name']!r} has shape {tuple(value.shape)} with "
                f"event_dim={event_dim}, but plate {self.name!r} needs size {self.size} at dim "
                f"{dim}; pass the full-size tensor",
                site=msg["name"] or self.name,
            )
        if self.subsample_size < self.size:
            taken = value.index_select(dim, torch.as_tensor(self.indices, device=value.device))
            if hasattr(value, "unconstrained"):
                taken.unconstrained = value.unconstrained
            msg["value"] = taken

    def _iteration_order(self) -> list[int]:
        if self._indices is None or self._is_whole:  # a recording must not look at values
            return super()._iteration_order()
        return [int(index) for index in self._indices]


def _emit(name: str, fn: _Subsample) -> Any:
    """Make the indices a sample site, so that traces record and replay them."""
    if not am_i_wrapped():
        return fn()
    msg = new_message("sample", name, fn, (), {})
    msg["infer"] = {"is_auxiliary": True}
    return apply_stack(msg)["value"]
