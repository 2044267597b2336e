"""What inference algorithms share: plate nesting, sums over plates, gradients."""

from __future__ import annotations

import math
import typing as _typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.plugins import misspelt as _misspelt
from ppl.poutine.cond_indep_stack_frame import CondIndepStackFrame
from ppl.poutine.util import site_is_subsample
from ppl.util import get_rng_state, set_rng_state
from ppl.validation import enable_validation as enable_validation
from ppl.validation import is_validation_enabled as is_validation_enabled
from ppl.validation import validation_enabled as validation_enabled

Frames = Iterable[CondIndepStackFrame]


def torch_item(x: Tensor | float) -> float:
    """Return a number, whether given one or a tensor with one element."""
    return x.item() if isinstance(x, Tensor) else x


def torch_exp(x: Tensor | float) -> Tensor | float:
    """Return the exponential of a number or a tensor."""
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def torch_sum(tensor: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the sum over dimensions, the tensor itself if there are none."""
    return tensor.sum(tuple(dims)) if dims else tensor


def torch_backward(x: Tensor | float, retain_graph: bool | None = None) -> None:
    """Differentiate a loss, which may be a number and then depends on nothing."""
    if isinstance(x, Tensor) and x.requires_grad:
        x.backward(retain_graph=retain_graph)


def get_plate_stacks(trace: poutine.Trace) -> dict[str, list[CondIndepStackFrame]]:
    """Return the vectorized plates around each sample site, outermost first."""
    return {
        name: [frame for frame in site["cond_indep_stack"] if frame.vectorized]
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    }


def check_fully_reparametrized(guide_site: dict[str, Any]) -> None:
    """Refuse a site of a guide whose samples carry no gradients.

    Raises:
        SiteError: If it is not reparametrized; a NotImplementedError too.
    """
    if not getattr(guide_site["fn"], "has_rsample", False):
        raise NotReparametrizedError(
            f"site {guide_site['name']!r}: {guide_site['fn']} has no reparametrized samples, which "
            "this loss needs; use Trace_ELBO, or another distribution in the guide"
        )


class NotReparametrizedError(SiteError, NotImplementedError):
    """A loss needs reparametrized samples, but a site of the guide has none."""


def is_same(one: Any, other: Any) -> bool:
    """Return whether two scales or masks, tensors or not, are equal; a tensor is never a number."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and bool(one == other)


def zero_grads(tensors: Iterable[Tensor]) -> None:
    """Set the gradients of all tensors to zero, in place."""
    for tensor in tensors:
        if tensor.grad is not None:
            tensor.grad = torch.zeros_like(tensor.grad)


def max_plate_nesting_of(*traces: poutine.Trace) -> int:
    """Return the largest number of batch dimensions that vectorized plates use in the traces."""
    dims = [
        -frame.dim
        for trace in traces
        for site in trace.nodes.values()
        if site["type"] == "sample"
        for frame in site["cond_indep_stack"]
        if frame.dim is not None
    ]
    return max(dims, default=0)


def guess_max_plate_nesting(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> int:
    """Return the plate nesting of a model by running it once, unseen by handlers further out.

    Generators are left as they were: looking changes no draws.
    """
    state = get_rng_state()
    with poutine.block(), torch.no_grad():
        trace = poutine.trace(model).get_trace(*args, **kwargs)
    set_rng_state(state)
    return max_plate_nesting_of(trace)


class MultiFrameTensor:
    """A sum of tensors that live in different plates, to be summed to the plates of any site.

    Each term has the batch dimensions of the plates it was added with. Used to give every
    non-reparametrized site of a guide just those parts of the log density that depend on it
    (Schulman et al. 2015, "Gradient estimation using stochastic computation graphs").
    """

    def __init__(self, *items: tuple[Frames, Tensor | float]) -> None:
        self._terms: dict[frozenset[CondIndepStackFrame], Tensor] = {}
        self.add(*items)

    def add(self, *items: tuple[Frames, Tensor | float]) -> None:
        """Add terms, each a pair of frames and tensor; the number zero adds nothing."""
        for frames, value in items:
            if not isinstance(value, Tensor):
                continue
            key = frozenset(frame for frame in frames if frame.vectorized)
            self._terms[key] = self._terms[key] + value if key in self._terms else value

    def sum_to(self, target_frames: Frames) -> Tensor | None:
        """Return the sum of all terms, each summed over the plates that are not in the target."""
        target = frozenset(frame for frame in target_frames if frame.vectorized)
        kept = {frame.dim for frame in target}
        total = None
        for frames, value in self._terms.items():
            for dim in {frame.dim for frame in frames - target if frame.dim is not None}:
                if value.dim() >= -dim and value.shape[dim] != 1:
                    value = value.sum(dim, keepdim=True)
            while value.dim() and value.shape[0] == 1 and -value.dim() not in kept:
                value = value.squeeze(0)
            total = value if total is None else total + value
        return total


if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
