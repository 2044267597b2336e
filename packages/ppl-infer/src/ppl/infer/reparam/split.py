"""A site as several blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ppl.distributions import constraints
from ppl.errors import ShapeError

from .flat import FlatWithDraws
from .layers import Layers
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary

SupportFn = Callable[[Any, tuple[Any, ...]], Any]


def default_support(fn: Any, slice_: tuple[Any, ...]) -> Any:
    """Return the support of a block: that of the distribution, which acts on single values.

    Args:
        fn: The distribution.
        slice_: The index of the block among the event dimensions.
    Raises:
        ShapeError: If the support couples the values along the dimension that is split.
    """
    support, event_dim = fn.support, fn.event_dim
    while isinstance(support, constraints.independent) or hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support.event_dim > 0:
        raise ShapeError(
            f"the support {support} of {fn} cannot be split: it couples the values of an event; "
            "pass a support_fn that says the supports of the blocks"
        )
    bounds = {key: x for key, x in vars(support).items() if isinstance(x, Tensor) and x.dim()}
    if bounds:
        support = _cut(support, bounds, fn, slice_)
    return constraints.independent(support, event_dim)


def _cut(support: Any, bounds: dict[str, Tensor], fn: Any, slice_: tuple[Any, ...]) -> Any:
    """Return a support whose bounds vary along the event, at the block."""
    new = object.__new__(type(support))
    new.__dict__.update(support.__dict__)
    index = (..., *slice_)
    for key, bound in bounds.items():
        new.__dict__[key] = bound.expand(fn.shape())[index]
    return new


class SplitReparam(Reparam):
    """Writes a site as blocks ``x_split_0``, ``x_split_1``, ... along an event dimension.

    The blocks are flat; the density of the site counts as before. Useful for guides and mass
    matrices that treat parts of a site in different ways.

    An observed site stays observed.

    Args:
        sections: The sizes of the blocks, or one size for all.
        dim: The dimension to split, negative: counted from the right.
        support_fn: From a distribution and the index of a block to its support.
    Raises:
        ShapeError: If ``dim`` is not negative; for a site where it is no event dimension or has
            another size than the blocks, or whose support cannot be split.

    Example:
        >>> import ppl.distributions as dist
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1))
        >>> rewritten = poutine.reparam(model, config={"x": SplitReparam([2, 3], dim=-1)})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_split_0', 'x_split_1']
    """

    def __init__(
        self,
        sections: Sequence[int] | int,
        dim: int,
        support_fn: SupportFn = default_support,
    ) -> None:
        if dim >= 0:
            raise SplitDimError(
                f"SplitReparam: dim counts from the right and is negative, got {dim}"
            )
        self.sections: int | list[int] = sections if isinstance(sections, int) else list(sections)
        self.dim = dim
        self.support_fn = support_fn

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        fn, value = msg["fn"], msg["value"]
        sizes = self._sizes(msg)
        draw = _SharedDraw(fn, sizes, self.dim)
        given = [None] * len(sizes) if value is None else value.split(sizes, self.dim)
        blocks = []
        for i, size in enumerate(sizes):
            start = sum(sizes[:i])
            index = (slice(start, start + size),) + (slice(None),) * (-self.dim - 1)
            shape = list(fn.event_shape)
            shape[self.dim] = size
            flat = FlatWithDraws(
                partial(draw.block, i), self.support_fn(fn, index), fn.batch_shape, shape
            )
            name = f"{msg['name']}_split_{i}"
            blocks.append(auxiliary(name, flat, given[i], msg["is_observed"]))
        x = torch.cat(blocks, self.dim)
        return Layers(fn, ()).computed(x, fn.log_prob(x))

    def _sizes(self, msg: ReparamMessage) -> list[int]:
        fn, name = msg["fn"], msg["name"]
        if -self.dim > fn.event_dim:
            raise SplitDimError(
                f"site {name!r}: dim={self.dim} is no event dimension of event_shape "
                f"{tuple(fn.event_shape)}; declare it with .to_event(n)",
                site=name,
            )
        whole = fn.event_shape[self.dim]
        if isinstance(self.sections, int):
            return [min(self.sections, whole - i) for i in range(0, whole, self.sections)]
        if sum(self.sections) != whole:
            raise SectionsError(
                f"site {name!r}: the sections {self.sections} have size {sum(self.sections)}, but "
                f"dimension {self.dim} of the event has size {whole}",
                site=name,
            )
        return self.sections


class SplitDimError(ShapeError, AssertionError):
    """A dimension to split is no event dimension."""


class SectionsError(ShapeError, RuntimeError):
    """Blocks do not add up to the dimension that is split."""


class _SharedDraw:
    """Draws of a distribution, made when the first block is drawn, for all blocks."""

    def __init__(self, fn: Any, sizes: list[int], dim: int) -> None:
        self.fn, self.sizes, self.dim = fn, sizes, dim
        self.blocks: dict[torch.Size, Any] = {}

    def block(self, i: int, sample_shape: Any) -> Tensor:
        shape = torch.Size(sample_shape)
        if shape not in self.blocks:
            self.blocks[shape] = self.fn.sample(shape).split(self.sizes, self.dim)
        block: Tensor = self.blocks[shape][i]
        return block
