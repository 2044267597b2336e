"""The posterior density of a model as a function of one vector, and its gradient for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import biject_to
from torch.fx import GraphModule

import ppl.poutine as poutine
from ppl.engine import batch_first, points_near, recorded, same_function
from ppl.engine.recording import draws
from ppl.errors import ArgumentError, UnsupportedModelError, warn
from ppl.infer.layout import Layout
from ppl.validation import validation_enabled

from .whole_data import refuse_subsamples

if TYPE_CHECKING:
    from .auto_continuous import AutoContinuous

Density = Callable[[Tensor], Tensor]
OF_POINTS = (ArithmeticError, RuntimeError, ValueError)  # what a model may raise at a bad point


class VectorDensity:
    """The log joint density of a model at vectors of its latent sites, in nats.

    It is a density of the unconstrained scale, where the volume of the transforms counts.

    Args:
        guide: A guide of the model that has been set up; it says where the sites are.
        args: The arguments of the model, with all of the data.
        kwargs: The same by name.

    Raises:
        ArgumentError: In a call, if a plate is subsampled: the density would be another each time.
    """

    def __init__(self, guide: AutoContinuous, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.layout: Layout = guide.layout
        self.transforms = {
            name: biject_to(site["fn"].support) for name, site in guide._latent_sites()
        }
        self.model: Callable[..., Any]
        self.args: tuple[Any, ...]
        self.kwargs: dict[str, Any]
        self.model, self.args, self.kwargs = guide.model, args, kwargs

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the log density, shape ``()``, at a vector ``(dim,)``."""
        free = self.layout.unpack(vector)
        values = {name: transform(free[name]) for name, transform in self.transforms.items()}
        jacobian: Any = sum(
            transform.log_abs_det_jacobian(free[name], values[name]).sum()
            for name, transform in self.transforms.items()
        )
        with poutine.block():
            model = poutine.substitute(self.model, data=values)
            trace = poutine.trace(model).get_trace(*self.args, **self.kwargs)
        refuse_subsamples(trace)
        return torch.as_tensor(trace.log_prob_sum() + jacobian)


class BatchedDensity:
    """A log density and its gradient at many vectors in one go, recorded as a tensor program.

    The program is compared with the density itself; where it cannot be recorded the vectors go one
    after another, and a warning says why.

    Args:
        density: A log density, of a vector ``(dim,)``.
        like: Vectors of the shape ``(number, dim)`` that all calls will have.

    Raises:
        UnsupportedModelError: If the density draws at random.
    """

    def __init__(self, density: Density, like: Tensor) -> None:
        self.density = density
        self._at(like[0])  # what is wrong with the model itself comes up here
        self._program: Callable[[Tensor], tuple[Tensor, Tensor]] = self._one_by_one
        together = torch.func.vmap(torch.func.grad_and_value(density), randomness="different")
        program = recorded(together, [like], [batch_first], self._is_right(like))
        if program.status != "recorded":
            warn(f"the model runs without recording, which is slow: {program.reason}")
            return
        if draws(program.run):  # type: ignore[arg-type]
            raise UnsupportedModelError(
                "the model draws at random at sites that the guide has no distribution for, so its "
                "density is not known; sum them out, or give them values with ppl.condition"
            )
        self._program = program.run

    def _is_right(self, like: Tensor) -> Callable[[GraphModule], bool]:
        """Return whether a recording is the density; one that draws is refused, not compared."""
        points = points_near([like])
        return lambda graph: draws(graph) or same_function(graph, self._one_by_one, points)

    @validation_enabled(False)
    def __call__(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return log densities ``(number,)`` and gradients ``(number, dim)``, nan where none is."""
        try:
            gradient, value = self._program(vectors.detach())
        except OF_POINTS:
            gradient, value = self._one_by_one(vectors.detach())
        return value.detach(), gradient.detach()

    def _one_by_one(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [self._at(vector) for vector in vectors]
        return torch.stack([g for g, _ in pairs]), torch.stack([v for _, v in pairs])

    @validation_enabled(False)
    def _at(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        vector = vector.detach().requires_grad_()
        try:
            with torch.enable_grad():
                value = self.density(vector)
            (gradient,) = torch.autograd.grad(value, vector)
        except ArgumentError:  # of the arguments of the model, not of this point
            raise
        except OF_POINTS:
            return torch.full_like(vector, torch.nan), torch.full_like(vector[0], torch.nan)
        return gradient, value.detach()
