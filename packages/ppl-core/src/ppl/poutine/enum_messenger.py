"""``enum``: give a site all of its values at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from ..arguments import integer
from ..errors import SiteError
from ..validation import is_validation_enabled
from .enum_dims import EnumDims, carried, merge
from .hints import check_hints
from .messenger import Messenger
from .util import site_is_subsample

_last_dims: ContextVar[EnumDims | None] = ContextVar("ppl_last_enum_dims", default=None)


class EnumMessenger(Messenger):
    """Enumerates in parallel the sample sites marked ``infer={"enumerate": "parallel"}``.

    Such a site has all values of its support, along a batch dimension of its own left of the plates
    and unique among the sites that may depend on each other (see ``poutine.markov``). With
    ``infer={"num_samples": n}`` it has ``n`` random values instead: local Monte Carlo (Aitchison
    2019, "Tensor Monte Carlo"). Further hints: ``"expand"``, whether the values have the full batch
    shape, and ``"tmc"``, which parent each random value has if they do not: "diagonal" (default,
    the k-th one) or "mixture" (a random one).

    The dimension is in ``infer["_enumerate_dim"]``; ``infer["_dim_to_id"]`` maps each dimension
    that the log density of a site may have to the number of the variable there.

    Args:
        first_available_dim: The rightmost dimension for enumeration, ``-1 - max_plate_nesting``.
            None goes on to the left of the program that was enumerated before in this thread, as a
            model does after its guide.

    Raises:
        SiteError: If there is no dimension to begin with.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> from ppl.primitives import sample
        >>> with EnumMessenger(first_available_dim=-2):
        ...     sample("x", Bernoulli(0.5), infer={"enumerate": "parallel"}).shape
        torch.Size([2, 1])
    """

    _keeps_notes = True

    def __init__(self, first_available_dim: int | None = None) -> None:
        if first_available_dim is not None:
            first_available_dim = integer("first_available_dim of enum", first_available_dim)
        if first_available_dim is not None and first_available_dim >= 0:
            raise SiteError(
                "first_available_dim is counted from the right and must be negative, got "
                f"{first_available_dim}; use -1-max_plate_nesting"
            )
        self.first_available_dim = first_available_dim

    def __enter__(self) -> EnumMessenger:
        self._reset()
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        _last_dims.set(self._dims)
        return super().__exit__(*exception)

    def _reset(self) -> None:
        if self.first_available_dim is not None:
            self._dims = EnumDims(self.first_available_dim, self.first_available_dim)
            return
        last = _last_dims.get()
        if last is None:
            raise SiteError(
                "enum needs a dimension to begin with: pass first_available_dim="
                "-1-max_plate_nesting, since nothing was enumerated before"
            )
        self._dims = last.after()

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["done"] or msg["is_observed"] or not _is_parallel(msg):
            return
        in_scope = self._dims.in_scope(msg)
        self._dims.check(msg, in_scope)
        dim, number = self._dims.allocate(msg, in_scope)
        msg["value"] = _leftmost_to(dim, enumerate_site(msg), msg)
        msg["done"] = True
        msg["infer"].update(_enumerate_dim=dim, _dim_to_id={dim: number})

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        # after enumeration here, or replay from a trace that was enumerated before
        if site_is_subsample(msg) or not hasattr(msg["fn"], "batch_shape"):
            return
        dims = self._dims.in_scope(msg)
        if is_validation_enabled():
            self._dims.check(msg, dims)
        merge(dims, carried(msg, msg["infer"].get("_dim_to_id", {})), msg["name"])
        self._dims.record(msg, carried(msg, dims))
        msg["infer"]["_dim_to_id"] = dims


def _is_parallel(msg: Mapping[str, Any]) -> bool:
    check_hints(msg["name"], msg["infer"])  # a handler may have changed them
    return msg["infer"].get("enumerate") == "parallel" and not site_is_subsample(msg)  # type: ignore[arg-type]


def enumerate_site(msg: Mapping[str, Any]) -> Tensor:
    """Return all values of a site, or random ones, along a new leftmost dimension.

    Returns:
        Shape ``(size, *batch, *event)``; unless ``infer["expand"]``, batch dimensions are 1, or
        random values have only those of plates.

    Raises:
        SiteError: If the support is not finite and ``infer["num_samples"]`` is not given.
    """
    fn, infer = msg["fn"], msg["infer"]
    num_samples, expand = infer.get("num_samples"), infer.get("expand", False)
    if num_samples is not None:
        samples: Tensor = fn(sample_shape=torch.Size((num_samples,)))
        return samples if expand else _one_parent_each(samples, msg)
    if not getattr(fn, "has_enumerate_support", False):
        raise SiteError(
            f"site {msg['name']!r} is marked infer={{'enumerate': 'parallel'}}, but the support of "
            f"{fn} is not finite; remove the mark, or add num_samples to draw from it"
        )
    values: Tensor = fn.enumerate_support(expand=expand)
    return values


def _one_parent_each(samples: Tensor, msg: Mapping[str, Any]) -> Tensor:
    """Select, of samples given all values of the parents, one for each."""
    strategy = msg["infer"].get("tmc", "diagonal")
    num_samples, event_dim = len(samples), len(msg["fn"].event_shape)
    plates = {frame.dim for frame in msg["cond_indep_stack"]}
    for dim in range(-len(msg["fn"].batch_shape), 0):
        size = samples.shape[dim - event_dim]
        if dim in plates or size == 1:
            continue
        shape = [num_samples] + [1] * (samples.dim() - 1)
        if strategy == "diagonal":
            parent = torch.arange(num_samples, device=samples.device).reshape(shape) % size
        else:  # slices of plates are independent of each other
            for plate in plates - {None}:
                shape[plate - event_dim] = samples.shape[plate - event_dim]
            parent = torch.randint(size, shape, device=samples.device)
        samples = torch.take_along_dim(samples, parent, dim - event_dim)
    return samples


def _leftmost_to(dim: int, values: Tensor, msg: Mapping[str, Any]) -> Tensor:
    """Return values with their leftmost dimension moved to the batch dimension ``dim``."""
    event_dim = len(msg["fn"].event_shape)
    missing = max(0, -dim - (values.dim() - 1 - event_dim))
    values = values.reshape(values.shape[:1] + (1,) * missing + values.shape[1:])
    values = values.squeeze(dim - event_dim).movedim(0, dim - event_dim)
    while values.dim() - event_dim > -dim and values.shape[0] == 1:
        values = values.squeeze(0)
    return values
