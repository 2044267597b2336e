"""Whether two ways to compute something give the same: the one comparison, with one tolerance.

A replay is compared with the function that was recorded, and a compiled or rearranged program with
the recording that it was made of.  Numbers may differ by rounding alone: by the square root of the
precision relative to each of them, and by a few of the last digits of the largest number beside it.
Where that is not enough, the rounding is measured: how much changes what the trusted one returns
with the last digits of its arguments?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves

from ..randomness import get_rng_state, set_rng_state
from .layouts import laid_out

FAR = 0.1  # how far apart the points of a comparison are
LAST_DIGITS = 32.0  # roundings that a sum may have gone through
Function = Callable[..., Any]


def agree(one: Any, trusted: Any, noise: Sequence[Any] | None = None) -> bool:
    """Return whether a result has the structure and, up to rounding, the values of another.

    Args:
        one: Nested containers of tensors and other values.
        trusted: What they should be.
        noise: How much further each of its leaves may be off.

    Example:
        >>> agree({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-7})
        True
    """
    (left, left_spec), (right, right_spec) = tree_flatten(one), tree_flatten(trusted)
    slack = noise or [0.0] * len(right)
    return left_spec == right_spec and all(map(_leaves_agree, left, right, slack))


def same_function(
    candidate: Function, trusted: Function, points: Sequence[Sequence[Tensor]]
) -> bool:
    """Return whether a function gives what a trusted one gives at all points.

    Both see the same random numbers, and the generators are left as they were.  Where the trusted
    one fails, such as at a matrix without factors, there is nothing to compare.

    Args:
        candidate: A function of tensors.
        trusted: Another one.
        points: Arguments of both, see :func:`points_near`.
    """
    with _generators_kept() as rewind:

        def run(function: Function, point: Sequence[Tensor]) -> Any:
            rewind()
            return function(*point)

        def is_same_at(point: Sequence[Tensor]) -> bool:
            try:
                expected = run(trusted, point)
            except RuntimeError:
                return True
            actual = run(candidate, point)
            return agree(actual, expected) or agree(
                actual, expected, _noise(lambda *near: run(trusted, near), point, expected)
            )

        return all(map(is_same_at, points))


def points_near(inputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return some points for a comparison: the inputs, and two at which they are a little off.

    They are the same each time and cost no random numbers.  Layouts stay, and so does what is no
    number, such as an index.

    Example:
        >>> first, stretched, shifted = points_near([torch.zeros(2), torch.tensor([1, 2])])
        >>> torch.equal(first[0], shifted[0]), torch.equal(first[1], shifted[1])
        (False, True)
    """
    stretched = [_moved(x, lambda x: x + x * _wave(x, FAR)) for x in inputs]
    shifted = [_moved(x, lambda x: x + _wave(x, FAR)) for x in inputs]
    return [list(inputs), stretched, shifted]


def _noise(function: Function, point: Sequence[Tensor], expected: Any) -> list[Any]:
    """Return how much a result changes with the last digits of the arguments, by leaf."""
    leaves = tree_leaves(expected)
    noise: list[Any] = [0.0] * len(leaves)
    for height in (4.0, -4.0):
        nearby = [_in_last_digits(x, height) for x in point]
        for i, (a, b) in enumerate(zip(tree_leaves(function(*nearby)), leaves, strict=True)):
            if _is_number(b) and a.shape == b.shape:
                change = (_exact(a) - _exact(b)).abs()
                noise[i] = noise[i] + 4 * change.nan_to_num(0.0, 0.0)
    return noise


def _leaves_agree(one: Any, trusted: Any, noise: Any) -> bool:
    if not (isinstance(one, Tensor) and isinstance(trusted, Tensor)):
        return type(one) is type(trusted) and bool(one == trusted)
    if (one.shape, one.dtype, one.layout) != (trusted.shape, trusted.dtype, trusted.layout):
        return False
    if not _is_number(trusted):
        return torch.equal(one, trusted)
    return bool(_is_close(_exact(one), _exact(trusted), _eps(trusted), noise).all())


def _is_close(one: Tensor, trusted: Tensor, eps: float, noise: Any) -> Tensor:
    size = trusted.abs()
    largest = size.nan_to_num(0.0, 0.0).max() if size.numel() else 1.0
    error = eps**0.5 * size + LAST_DIGITS * eps * largest + 4 * eps + noise
    same = (one == trusted) | (one.isnan() & trusted.isnan())
    close: Tensor = same | (trusted.isfinite() & ((one - trusted).abs() <= error))
    return close


def _in_last_digits(x: Tensor, height: float) -> Tensor:
    return _moved(x, lambda x: x + x * _wave(x, height * _eps(x)))


def _moved(x: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
    """Return numbers moved, in the same layout; other tensors, and overlapping ones, stay."""
    x = x.detach()
    if not _is_number(x) or x.layout is not torch.strided or overlaps(x):
        return x
    return laid_out(move(x), x.stride())


def overlaps(x: Tensor) -> bool:
    """Return whether several elements of a tensor have the same memory, as after ``expand``."""
    return any(stride == 0 and size > 1 for size, stride in zip(x.shape, x.stride(), strict=True))


def _wave(x: Tensor, height: float) -> Tensor:
    """Return numbers up to a height, another one for each element."""
    number = torch.arange(1.0, x.numel() + 1, device=x.device)
    return (height * (number * 2.4).cos()).reshape(x.shape).to(x.dtype)


def _is_number(x: Any) -> bool:
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())


def _exact(x: Tensor) -> Tensor:
    dense = x.detach() if x.layout is torch.strided else x.detach().to_dense()
    return dense.to(torch.promote_types(x.dtype, torch.float64))


def _eps(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps if _is_number(x) else 0.0


@contextmanager
def _generators_kept() -> Iterator[Callable[[], None]]:
    """Yield what rewinds the generators, and leave them as they were found."""
    found = get_rng_state()
    try:
        yield lambda: set_rng_state(found)
    finally:
        set_rng_state(found)
