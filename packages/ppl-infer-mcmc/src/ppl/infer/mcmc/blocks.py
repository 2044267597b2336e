"""Blocks of a mass matrix: which sites it couples, and inverse masses given by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ppl.errors import ShapeError, SiteError, SupportError
from ppl.infer.mcmc.layout import Layout

Names = tuple[str, ...]
FullMass = bool | Sequence[Names]
InverseMass = Tensor | Mapping[Names, Tensor]


def check_blocks(argument: str, blocks: Iterable[Any]) -> None:
    """Check that blocks are tuples of names, and no site is in two of them.

    Raises:
        SiteError: Otherwise.
    """
    blocks = list(blocks)
    if not all(isinstance(b, (tuple, list)) and all(isinstance(n, str) for n in b) for b in blocks):
        raise SiteError(
            f"{argument} needs tuples of site names, such as ('a', 'b') and ('c',), got {blocks}"
        )
    names = [name for block in blocks for name in block]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SiteError(f"{argument} has the sites {repeated} twice; a site belongs to one block")


def coupled(layout: Layout, full_mass: FullMass) -> Tensor | None:
    """Return which numbers of a position share a block, bool ``(dim, dim)``; None without blocks.

    >>> layout = Layout.of({"a": torch.zeros(()), "b": torch.zeros(()), "c": torch.zeros(())})
    >>> coupled(layout, [("a", "c")]).int()
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


def split_blocks(inverse: Tensor, layout: Layout, full_mass: FullMass) -> dict[Names, Tensor]:
    """Return the blocks of an inverse mass, and the diagonal of the sites in none of them.

    Args:
        inverse: Of shape ``(dim,)`` or ``(dim, dim)``; of several chains the mean counts.
        layout: The order of the sites.
        full_mass: The blocks.
    """
    is_dense = bool(full_mass)
    inverse = inverse.diag() if is_dense and inverse.dim() == 1 else inverse
    inverse = inverse.mean(0) if inverse.dim() > 1 + is_dense else inverse
    diagonal = inverse.diagonal() if is_dense else inverse
    blocks = [layout.names] if full_mass is True else [tuple(names) for names in full_mass or ()]
    rest = tuple(name for name in layout.names if not any(name in names for names in blocks))
    places = {names: layout.places(names).to(inverse.device) for names in (*blocks, rest)}
    found = {names: inverse[places[names][:, None], places[names]] for names in blocks}
    return found | ({rest: diagonal[places[rest]]} if rest else {})


def inverse_mass(given: InverseMass, layout: Layout, position: Tensor, is_dense: bool) -> Tensor:
    """Return an inverse mass as given by the user, for chains at `position` ``(chain, dim)``.

    Args:
        given: Shape ``(dim,)``, or ``(dim, dim)`` for a dense metric, perhaps with a leading
            dimension for the chains; or by blocks, of shape ``(n,)`` or ``(n, n)`` each, where a
            site in none of them has unit mass.
        layout: The order of the sites.
        position: Where the chains are; dtype and device are its.
        is_dense: Whether the metric is dense.

    Raises:
        MissingSiteError: If a block has a site that the model has not.
        ShapeError: If a shape does not fit the sites and chains.
        SupportError: If a matrix is not symmetric and positive definite.
    """
    inverse = given if isinstance(given, Tensor) else _assemble(given, layout)
    inverse = inverse.detach().to(position)
    num_chains, dim = position.shape
    if is_dense and inverse.shape == (dim,):
        inverse = inverse.diag()
    one = (dim, dim) if is_dense else (dim,)
    if tuple(inverse.shape) not in (one, (num_chains, *one)):
        _refuse_shape(inverse, one, num_chains, layout)
    if not _is_positive(inverse, is_dense):
        raise SupportError("inverse_mass_matrix must be symmetric and positive definite")
    return inverse.expand(num_chains, *one)


def _assemble(blocks: Mapping[Names, Tensor], layout: Layout) -> Tensor:
    """Return the whole inverse mass: ``(dim,)`` where all blocks are diagonal."""
    check_blocks("inverse_mass_matrix", blocks)
    whole = torch.eye(layout.dim, dtype=torch.float64)
    for names, block in blocks.items():
        at = layout.places(names)
        if tuple(block.shape) not in ((len(at),), (len(at), len(at))):
            raise ShapeError(
                f"inverse_mass_matrix[{names}] has shape {tuple(block.shape)}, but the sites have "
                f"{len(at)} numbers: give {(len(at),)} or {(len(at), len(at))}, in this order"
            )
        whole[at[:, None], at] = (block if block.dim() == 2 else block.diag()).to(whole)
    return whole if any(block.dim() == 2 for block in blocks.values()) else whole.diagonal()


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
