"""Blocks of a mass matrix: which sites it couples, and inverse masses given by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ppl.errors import ShapeError, SiteError, SupportError
from ppl.infer.layout import Layout

Names = tuple[str, ...]
FullMass = bool | Sequence[Names]
InverseMass = Tensor | Mapping[Names, Tensor]


def check_blocks(argument: str, blocks: Iterable[Any]) -> None:
    """Check that blocks are tuples of names, and no site is in two of them.

    Raises:
        SiteError: Otherwise.
    """
    blocks = list(blocks) if isinstance(blocks, Iterable) else [blocks]
    if not all(isinstance(b, (tuple, list)) and all(isinstance(n, str) for n in b) for b in blocks):
        raise SiteError(
            f"{argument} needs tuples of site names, such as ('a', 'b') and ('c',), got {blocks}"
        )
    names = [name for block in blocks for name in block]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SiteError(f"{argument} has the sites {repeated} twice; a site belongs to one block")


def block_mask(layout: Layout, full_mass: FullMass) -> Tensor | None:
    """Return which numbers of a position share a block, bool ``(dim, dim)``; None without blocks.

    >>> layout = Layout.of({"a": torch.zeros(()), "b": torch.zeros(()), "c": torch.zeros(())})
    >>> block_mask(layout, [("a", "c")]).int()
    tensor([[1, 0, 1],
            [0, 1, 0],
            [1, 0, 1]], dtype=torch.int32)
    """
    if isinstance(full_mass, bool) or not full_mass:
        return None
    together = torch.eye(layout.dim, dtype=torch.bool)
    for block in full_mass:
        at = layout.places(block)
        together[at[:, None], at] = True
    return together


def blocks_of(layout: Layout, full_mass: FullMass) -> tuple[list[Names], Names]:
    """Return the blocks of a mass matrix, and the sites in none of them, sorted by name."""
    blocks = [layout.names] if full_mass is True else [tuple(names) for names in full_mass or ()]
    rest = tuple(name for name in layout.names if not any(name in names for names in blocks))
    return blocks, rest


def split_blocks(inverse: Tensor, layout: Layout, full_mass: FullMass) -> dict[Names, Tensor]:
    """Return the blocks of an inverse mass, and the diagonal of the sites in none of them.

    Args:
        inverse: Of shape ``(dim,)`` or ``(dim, dim)``, perhaps with a leading dimension for chains,
            which the blocks have, too.
        layout: The order of the sites.
        full_mass: The blocks.
    """
    inverse = inverse.diag() if full_mass and inverse.dim() == 1 else inverse
    diagonal = inverse.diagonal(dim1=-2, dim2=-1) if full_mass else inverse
    blocks, rest = blocks_of(layout, full_mass)
    places = {names: layout.places(names).to(inverse.device) for names in (*blocks, rest)}
    found = {names: inverse[..., places[names][:, None], places[names]] for names in blocks}
    return found | ({rest: diagonal[..., places[rest]]} if rest else {})


def inverse_mass(
    given: InverseMass, layout: Layout, position: Tensor, full_mass: FullMass
) -> Tensor:
    """Return an inverse mass as given by the user, for chains at `position` ``(chain, dim)``.

    Args:
        given: Shape ``(dim,)``, or ``(dim, dim)`` for a dense metric; or by blocks, of shape
            ``(n,)`` or ``(n, n)`` each, where a site in none of them has unit mass.  All perhaps
            with a leading dimension for the chains.
        layout: The order of the sites.
        position: Where the chains are; dtype and device are its.
        full_mass: Whether the metric is dense, or the blocks of sites in which it is.

    Raises:
        MissingSiteError: If a block has a site that the model has not.
        ShapeError: If a shape does not fit the sites and chains.
        SupportError: If a matrix is not symmetric and positive definite.
    """
    num_chains, dim = position.shape
    is_dense = bool(full_mass)
    if not isinstance(given, Tensor):
        given = _assemble(given, layout, num_chains, full_mass)
    inverse = given.detach().to(position)
    if is_dense and inverse.shape == (dim,):
        inverse = inverse.diag()
    one = (dim, dim) if is_dense else (dim,)
    if tuple(inverse.shape) not in (one, (num_chains, *one)):
        _refuse_shape(inverse, one, num_chains, layout)
    if not _is_positive(inverse, is_dense):
        raise SupportError("inverse_mass_matrix must be symmetric and positive definite")
    return inverse.expand(num_chains, *one)


def _assemble(
    groups: Mapping[Names, Tensor], layout: Layout, num_chains: int, full_mass: FullMass
) -> Tensor:
    """Return the whole inverse mass, diagonal where all groups are, by chain where one is."""
    check_blocks("inverse_mass_matrix", groups)
    whole = torch.eye(layout.dim, dtype=torch.float64).repeat(num_chains, 1, 1)
    is_diagonal = True
    for names, group in groups.items():
        at = layout.places(names)
        group = torch.as_tensor(group).detach().to(whole)
        if not _is_matrix(names, group, num_chains, full_mass):
            group = _diagonal(names, group, len(at), num_chains)
        else:
            is_diagonal = False
        if tuple(group.shape) not in ((len(at),) * 2, (num_chains, len(at), len(at))):
            _refuse_group(names, group, len(at), num_chains)
        whole[:, at[:, None], at] = group
    whole = whole.diagonal(dim1=-2, dim2=-1) if is_diagonal else whole
    return whole[0] if bool((whole == whole[:1]).all()) else whole


def _is_matrix(names: Names, group: Tensor, num_chains: int, full_mass: FullMass) -> bool:
    """Whether a group is a matrix, rather than the diagonals of several chains.

    A square tensor may be both: then the sites have a diagonal if no block couples them.
    """
    if group.dim() != 2:
        return group.dim() == 3
    if group.shape[0] != group.shape[1]:
        return False
    is_block = full_mass is True or any(set(names) <= set(block) for block in full_mass or ())
    return is_block or len(group) != num_chains


def _diagonal(names: Names, group: Tensor, size: int, num_chains: int) -> Tensor:
    if tuple(group.shape) not in ((size,), (num_chains, size)):
        _refuse_group(names, group, size, num_chains)
    return group.diag_embed()


def _refuse_group(names: Names, group: Tensor, size: int, num_chains: int) -> None:
    raise ShapeError(
        f"inverse_mass_matrix[{names}] has shape {tuple(group.shape)}, but the sites have "
        f"{size} numbers: give {(size,)} or {(size, size)}, in this order, or one for each of "
        f"{num_chains} chains"
    )


def _refuse_shape(inverse: Tensor, one: tuple[int, ...], num_chains: int, layout: Layout) -> None:
    sites = ", ".join(f"{n} {tuple(s)}" for n, s in zip(layout.names, layout.shapes, strict=True))
    needed = f"{one}, or {(num_chains, *one)} for the chains that run together"
    dense = "" if len(one) == 2 else "; a dense one needs full_mass=True or blocks of sites"
    raise ShapeError(
        f"inverse_mass_matrix has shape {tuple(inverse.shape)}, but the kernel needs {needed}; the "
        f"numbers are those of the unconstrained sites by name: {sites}{dense}"
    )


def _is_positive(inverse: Tensor, is_dense: bool) -> bool:
    if not is_dense:
        return bool((inverse > 0).all())
    _, info = torch.linalg.cholesky_ex(inverse)
    sd = inverse.diagonal(dim1=-2, dim2=-1).sqrt()
    rounding = torch.finfo(inverse.dtype).eps ** 0.5 * sd[..., :, None] * sd[..., None, :]
    is_symmetric = (inverse - inverse.mT).abs() <= rounding  # running covariances are not exactly
    return bool((info == 0).all() & is_symmetric.all())
