"""Packed tensors: dimensions have names, and those of size one are gone.

Enumerated variables share tensor dimensions where they never meet, so a position does not tell
them apart; a symbol does. A packed tensor carries one symbol for each dimension in the attribute
``_pyro_dims``, ready for einsum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..distribution import ScoreParts
from ..errors import ShapeError

if TYPE_CHECKING:
    from .trace_struct import Trace


def pack(value: Any, dim_to_symbol: Mapping[int, str]) -> Any:
    """Return ``value`` without dimensions of size one, its ``_pyro_dims`` set to their symbols.

    Args:
        value: A tensor; anything else, such as a number, is returned as it is.
        dim_to_symbol: The symbol of each negative dimension.

    Raises:
        ShapeError: If a dimension of another size than one has no symbol.

    Example:
        >>> import torch
        >>> packed = pack(torch.zeros(3, 1, 2), {-1: "a", -3: "c"})
        >>> packed.shape, packed._pyro_dims
        (torch.Size([3, 2]), 'ca')
    """
    if not isinstance(value, Tensor):
        return value
    dims = [dim for dim in range(-value.dim(), 0) if value.shape[dim] != 1]
    unknown = [dim for dim in dims if dim not in dim_to_symbol]
    if unknown:
        raise ShapeError(
            f"a tensor of shape {tuple(value.shape)} has dims {unknown} that belong to no plate "
            f"and no enumerated variable; known are {sorted(dim_to_symbol)}; check the shapes of "
            "values and distributions"
        )
    packed = value.squeeze()  # a new tensor object in any case
    packed._pyro_dims = "".join(dim_to_symbol[dim] for dim in dims)  # type: ignore[attr-defined]
    return packed


def unpack(value: Any, symbol_to_dim: Mapping[str, int]) -> Any:
    """Return a packed tensor with its dimensions back in place; the inverse of :func:`pack`.

    Args:
        value: A packed tensor; anything else is returned as it is.
        symbol_to_dim: The negative dimension of each symbol.

    Raises:
        ShapeError: If two symbols are to have the same dimension.

    Example:
        >>> import torch
        >>> unpack(pack(torch.zeros(3, 1, 2), {-1: "a", -3: "c"}), {"a": -2, "c": -3}).shape
        torch.Size([3, 2, 1])
    """
    if not isinstance(value, Tensor):
        return value
    dims = [symbol_to_dim[symbol] for symbol in value._pyro_dims]  # type: ignore[attr-defined]
    if len(set(dims)) < len(dims):
        raise ShapeError(f"two symbols of a packed tensor have the same dim: {dims}")
    order = sorted(range(len(dims)), key=dims.__getitem__)
    shape = [1] * -min(dims, default=0)
    for dim, size in zip(dims, value.shape, strict=True):
        shape[dim] = size
    return value.permute(order).reshape(shape)


def symbolize_dims(trace: Trace, plate_to_symbol: dict[str, str] | None = None) -> None:
    """Name the batch dimensions of every sample site, in place; see ``Trace.symbolize_dims``."""
    trace.plate_to_symbol = {} if plate_to_symbol is None else plate_to_symbol
    trace.symbol_to_dim = {}
    for _, site in trace._sample_sites():
        dim_to_symbol = {
            frame.dim: trace.plate_to_symbol.setdefault(
                frame.name, _plate_symbol(len(trace.plate_to_symbol))
            )
            for frame in site["cond_indep_stack"]
            if frame.dim is not None
        }
        for dim, number in site["infer"].get("_dim_to_id", {}).items():
            dim_to_symbol[dim] = _variable_symbol(number)
        trace.symbol_to_dim.update((symbol, dim) for dim, symbol in dim_to_symbol.items())
        site["infer"] = {**site["infer"], "_dim_to_symbol": dim_to_symbol}


def pack_tensors(trace: Trace) -> None:
    """Fill ``site["packed"]`` of every sample site, in place; see ``Trace.pack_tensors``."""
    for name, site in trace._sample_sites():
        try:
            site["packed"] = dict(_packed(site, site["infer"]["_dim_to_symbol"]))
        except ShapeError as error:
            shapes = trace.format_shapes(last_site=name)
            raise ShapeError(f"site {name!r}: {error}\n{shapes}") from None


def _packed(site: Mapping[str, Any], dim_to_symbol: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    for key in ("mask", "scale", "log_prob", "unscaled_log_prob"):
        if key in site:
            yield key, pack(site[key], dim_to_symbol)
    if "score_parts" in site:
        yield (
            "score_parts",
            ScoreParts(*(pack(part, dim_to_symbol) for part in site["score_parts"])),
        )


# two alphabets that never meet and do not end


def _plate_symbol(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else chr(0x90000 + number)


def _variable_symbol(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else chr(0x10000 + number)
