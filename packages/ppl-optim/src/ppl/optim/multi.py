"""Optimizers that differentiate the loss themselves, once or more often."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import OptimError
from .optim import PyroOptim
from .options import Options

Params = Mapping[str, Tensor]


class MultiOptimizer:
    """Interface of optimizers that are given a differentiable loss rather than gradients.

    Derived classes implement :meth:`get_step`, or :meth:`prepare` where no derivative of the step
    is wanted.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> Newton().step(((x - 1) ** 2).sum(), {"x": x})
        >>> x.detach()
        tensor([1.])
    """

    def step(self, loss: Tensor, params: Params) -> None:
        """Update parameters in place; the updated tensors are detached.

        Args:
            loss: What to minimize, a scalar; some optimizers differentiate it several times.
            params: Unconstrained values by name, as the parameter store holds them.
        """
        self.prepare(loss, params)()

    def get_step(self, loss: Tensor, params: Params) -> dict[str, Tensor]:
        """Return updated unconstrained values by name, differentiable like the loss.

        Args:
            loss: What to minimize, a scalar; some optimizers differentiate it several times.
            params: Unconstrained values by name, as the parameter store holds them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no differentiable step")

    def prepare(self, loss: Tensor, params: Params) -> Callable[[], None]:
        """Differentiate the loss and return the function that updates the parameters.

        In two parts since several optimizers may share a loss: all differentiate it before any of
        them changes a tensor that its graph needs.
        """
        updated = {name: value.detach() for name, value in self.get_step(loss, params).items()}

        def apply() -> None:
            with torch.no_grad():
                for name, value in updated.items():
                    params[name].copy_(value)

        return apply


class PyroMultiOptimizer(MultiOptimizer):
    """A :class:`~ppl.optim.PyroOptim` as a MultiOptimizer; its step is not differentiable.

    Args:
        optim: The optimizer to use.
    """

    def __init__(self, optim: PyroOptim) -> None:
        self.optim = optim

    def prepare(self, loss: Tensor, params: Params) -> Callable[[], None]:
        """Differentiate the loss and return the function that updates the parameters."""
        values = list(params.values())
        gradients = torch.autograd.grad(loss, values, retain_graph=True)

        def apply() -> None:
            for value, gradient in zip(values, gradients, strict=True):
                value.grad = gradient
            self.optim(values)

        return apply


class TorchMultiOptimizer(PyroMultiOptimizer):
    """A torch optimizer as a MultiOptimizer; its step is not differentiable.

    Args:
        optim_constructor: A class of torch optimizers.
        optim_args: Its options, as for :class:`~ppl.optim.PyroOptim`.
    """

    def __init__(
        self, optim_constructor: Callable[..., torch.optim.Optimizer], optim_args: Options
    ) -> None:
        super().__init__(PyroOptim(optim_constructor, optim_args))


class MixedMultiOptimizer(MultiOptimizer):
    """Different optimizers for different parameters.

    Args:
        parts: Pairs of parameter names and the optimizer of these, a MultiOptimizer or a
            :class:`~ppl.optim.PyroOptim`. Together the names should be all that are optimized.

    Raises:
        OptimError: A ValueError, if a name belongs to several optimizers.
    """

    def __init__(self, parts: Sequence[tuple[Iterable[str], MultiOptimizer | PyroOptim]]) -> None:
        self.parts: list[tuple[list[str], MultiOptimizer]] = [
            (list(names), _as_multi(optim)) for names, optim in parts
        ]
        owners: dict[str, MultiOptimizer] = {}
        for names, optim in self.parts:
            for name in names:
                if name in owners:
                    raise OptimError(
                        f"parameter {name!r} is optimized by {type(owners[name]).__name__} and by "
                        f"{type(optim).__name__}; leave it to one of them"
                    )
                owners[name] = optim

    def get_step(self, loss: Tensor, params: Params) -> dict[str, Tensor]:
        """Return the updated values of all parts; each must have a differentiable step."""
        updated: dict[str, Tensor] = {}
        for names, optim in self.parts:
            updated.update(optim.get_step(loss, {name: params[name] for name in names}))
        return updated

    def prepare(self, loss: Tensor, params: Params) -> Callable[[], None]:
        """Differentiate the loss for all parts and return the function that updates them."""
        prepared = [
            optim.prepare(loss, {name: params[name] for name in names})
            for names, optim in self.parts
        ]

        def apply() -> None:
            for update in prepared:
                update()

        return apply


class Newton(MultiOptimizer):
    """Newton's method on batches of low-dimensional parameters.

    The last dimension of a parameter is its own, all dimensions to the left are independent of each
    other: the Hessian is taken to be block diagonal. See :func:`ppl.ops.newton.newton_step`.

    Args:
        trust_radii: Longest step by parameter name; a name that is missing is not bounded.

    Raises:
        ModuleNotFoundError: At the first step, if ppl-distributions is not installed.
    """

    def __init__(self, trust_radii: Mapping[str, float] = {}) -> None:
        self.trust_radii: dict[str, float] = dict(trust_radii)

    def get_step(self, loss: Tensor, params: Params) -> dict[str, Tensor]:
        """Return the parameters after one Newton step, differentiable like the loss."""
        # by name: the mathematics ships with the distributions, on which optimizers do not depend
        newton: Any = importlib.import_module("ppl.ops.newton")
        return {
            name: newton.newton_step(loss, value, self.trust_radii.get(name))[0]
            for name, value in params.items()
        }


def _as_multi(optim: MultiOptimizer | PyroOptim) -> MultiOptimizer:
    return PyroMultiOptimizer(optim) if isinstance(optim, PyroOptim) else optim
