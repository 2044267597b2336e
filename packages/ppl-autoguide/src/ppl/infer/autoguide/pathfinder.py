"""Paths of L-BFGS side by side, and the best normal that each of them passes.

References:
    Zhang, Carpenter, Gelman, Vehtari (2022), "Pathfinder: parallel quasi-Newton variational
    inference", JMLR 23(306).

    Gilbert, Lemarechal (1989), "Some numerical experiments with variable-storage quasi-Newton
    algorithms", Mathematical Programming 45.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from .quasi_newton_normal import QuasiNewtonNormal

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Log densities ``(path,)`` and their gradients ``(path, dim)`` at vectors ``(path, dim)``."""

ENOUGH_INCREASE = 1e-4  # of what the slope at the start of a line promises
FLAT_ENOUGH = 0.01  # of that slope
MAX_TRIES = 20  # points of a line search


class Points(NamedTuple):
    """Where the paths are: vectors, log densities and their gradients."""

    vector: Tensor  # (path, dim)
    value: Tensor  # (path,)
    gradient: Tensor  # (path, dim)


class Curvature(NamedTuple):
    """What the last steps said of the negative Hessian; unused places of the memory are zero."""

    diagonal: Tensor  # (path, dim), of the inverse Hessian
    steps: Tensor  # (path, memory, dim), the newest last
    changes: Tensor  # (path, memory, dim), of the negative gradient


class Best(NamedTuple):
    """The normal with the largest ELBO, of each path."""

    elbo: Tensor  # (path,), -inf where no normal was found
    loc: Tensor  # (path, dim)
    scale: Tensor  # (path, dim)
    basis: Tensor  # (path, dim, rank)
    root: Tensor  # (path, rank, rank)

    @property
    def normal(self) -> QuasiNewtonNormal:
        """The normals as one distribution with a batch of paths."""
        return QuasiNewtonNormal(*self[1:], validate_args=False)


Record = TypeVar("Record", Points, Curvature, Best)


def find_normals(
    density: Gradient,
    score: Callable[[QuasiNewtonNormal], Tensor],
    start: Tensor,
    memory: int,
    max_iterations: int,
) -> Best:
    """Follow L-BFGS from each start and return the normal of the path with the largest ELBO.

    Algorithm 1 of Zhang et al. 2022, for all paths at once. A path ends where its density rises no
    more, by the last digits or because no point of the line does.

    Args:
        density: Log densities and gradients.
        score: The ELBO of each of a batch of normals.
        start: Shape ``(path, dim)``, with finite density and gradient.
        memory: How many steps the curvature is learned from.
        max_iterations: The largest number of steps.
    """
    points = Points(start, *density(start))
    curvature = _no_curvature(start, memory)
    normal = normal_at(points, curvature)
    best = Best(score(normal), *normal.parts())
    moves = torch.ones_like(points.value, dtype=torch.bool)
    for _ in range(max_iterations):
        reached, found = _line_search(density, points, normal.loc - points.vector, moves)
        moves = moves & found
        if not bool(moves.any()):
            break
        curvature = _learn(curvature, points, reached, moves)
        is_flat = reached.value - points.value <= _resolution(points.value)
        points = _where(moves, reached, points)
        normal = normal_at(points, curvature)
        best = _better(best, Best(score(normal), *normal.parts()), moves)
        moves = moves & ~is_flat
    return best


def normal_at(points: Points, curvature: Curvature) -> QuasiNewtonNormal:
    """Return the normals whose mode is a Newton step away and whose covariance the curvature says.

    The inverse Hessian is ``diag + factor @ core @ factor.T`` in the compact form of Byrd, Nocedal
    and Schnabel 1994, whose square root is one in the span of the factor (Zhang et al. 2022,
    algorithm 4).
    """
    diagonal, steps, changes = curvature
    scale = diagonal.sqrt()
    used = (steps != 0).any(-1)
    products = steps @ changes.mT  # (path, memory, memory)
    corner = products.triu() + torch.diag_embed((~used).to(steps))
    eye = torch.eye(steps.shape[-2]).to(steps).expand_as(corner)
    inverse = torch.linalg.solve_triangular(corner, eye, upper=True)
    scaled = changes * scale.unsqueeze(-2)
    middle = torch.diag_embed(products.diagonal(dim1=-2, dim2=-1)) + scaled @ scaled.mT
    lower = inverse.mT @ middle @ inverse
    core = torch.cat(
        [torch.cat([torch.zeros_like(lower), -inverse], -1), torch.cat([-inverse.mT, lower], -1)],
        -2,
    )
    factor = torch.cat([scaled, steps / scale.unsqueeze(-2)], -2).mT  # over the scale
    basis, triangle = torch.linalg.qr(factor)
    inner = triangle @ core @ triangle.mT
    root = _root(torch.eye(inner.shape[-1]).to(inner) + (inner + inner.mT) / 2)
    normal = QuasiNewtonNormal(points.vector, scale, basis, root, validate_args=False)
    loc = points.vector + normal.covary(points.gradient)
    return QuasiNewtonNormal(loc, scale, basis, root, validate_args=False)


def _root(matrix: Tensor) -> Tensor:
    """Return Cholesky factors; the unit matrix where there is none, by rounding."""
    root, info = torch.linalg.cholesky_ex(matrix)
    fine = (info == 0) & root.isfinite().all(-1).all(-1)
    eye = torch.eye(root.shape[-1]).to(root).expand_as(root)
    return torch.where(fine[:, None, None], root, eye)


def _no_curvature(start: Tensor, memory: int) -> Curvature:
    empty = start.new_zeros(len(start), memory, start.shape[-1])
    return Curvature(torch.ones_like(start), empty, empty)


def _learn(curvature: Curvature, points: Points, reached: Points, moves: Tensor) -> Curvature:
    """Return the curvature after one more step, where this says that the density bends down."""
    step, change = reached.vector - points.vector, points.gradient - reached.gradient
    product = (step * change).sum(-1)
    bends = moves & (product > torch.finfo(step.dtype).eps * change.square().sum(-1))
    safe = bends[:, None]
    step, change = step.where(safe, 1.0), change.where(safe, 1.0)
    diagonal = _diagonal(curvature.diagonal, step, change)
    steps, changes = (
        torch.cat([old[:, 1:], new[:, None]], 1)
        for old, new in ((curvature.steps, step), (curvature.changes, change))
    )
    fine = bends & diagonal.isfinite().all(-1) & (diagonal > 0).all(-1)
    return _where(fine, Curvature(diagonal, steps, changes), curvature)


def _diagonal(diagonal: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Return the diagonal of the inverse Hessian that the next one starts from.

    Equation 4.9 of Gilbert and Lemarechal 1989.
    """
    a = (change.square() * diagonal).sum(-1, keepdim=True)
    b = (step * change).sum(-1, keepdim=True)
    c = (step.square() / diagonal).sum(-1, keepdim=True)
    return 1 / (a / (b * diagonal) + change.square() / b - a * (step / diagonal).square() / (b * c))


def _line_search(
    density: Gradient, points: Points, direction: Tensor, moves: Tensor
) -> tuple[Points, Tensor]:
    """Return the largest values along directions, nearly, and which paths have found a larger one.

    The slope is brought to zero by secants, or bisection where they fail: along a line of a normal
    density two points are enough. That the search is nearly exact makes the steps conjugate, so
    that as many steps as there are dimensions know all of the curvature of a normal.
    """
    slope = (direction * points.gradient).sum(-1)
    uphill = moves & (slope > _resolution(points.value))  # not where it is nan
    size = direction.abs().amax(-1)
    is_first = (direction == points.gradient).all(-1)  # of a path: the gradient has no scale
    step = torch.where(is_first, 1 / size.clamp(min=1.0), 1.0)
    low, low_slope = torch.zeros_like(step), slope
    high, high_slope = torch.full_like(step, torch.inf), torch.full_like(step, torch.nan)
    reached, found = points, ~uphill
    for _ in range(MAX_TRIES):
        vector = points.vector + torch.where(found, 0.0, step)[:, None] * direction
        tried = Points(vector, *density(vector))
        here = (direction * tried.gradient).sum(-1)
        rises = tried.value >= points.value + ENOUGH_INCREASE * step * slope
        rises = rises & tried.gradient.isfinite().all(-1) & tried.value.isfinite()
        better = rises & ~found & (tried.value >= reached.value)
        reached = _where(better, tried, reached)
        found = found | (rises & (here.abs() <= FLAT_ENOUGH * slope))
        if bool(found.all()):
            break
        before = rises & (here > 0)
        low, low_slope = torch.where(before, step, low), torch.where(before, here, low_slope)
        high, high_slope = torch.where(before, high, step), torch.where(before, high_slope, here)
        step = _next_step(low, low_slope, high, high_slope, slope)
    return reached, uphill & (reached.value > points.value)


def _next_step(
    low: Tensor, low_slope: Tensor, high: Tensor, high_slope: Tensor, first_slope: Tensor
) -> Tensor:
    """Return where a secant of the slopes is zero, inside of the bracket.

    Where nothing was too far yet, the secant goes through the start, and beyond the last point.
    """
    beyond = low * first_slope / (first_slope - low_slope)
    beyond = torch.where(low_slope < first_slope, beyond, torch.inf).clamp(1.5 * low, 10 * low)
    width = high - low
    inside = low + width * low_slope / (low_slope - high_slope)
    inside = torch.where(high_slope < 0, inside, low + width / 2)
    inside = inside.clamp(low + width / 100, high - width / 100)
    return torch.where(high.isfinite(), inside, beyond)


def _resolution(value: Tensor) -> Tensor:
    return 100 * torch.finfo(value.dtype).eps * value.abs().clamp(min=1.0)


def _better(best: Best, candidate: Best, moves: Tensor) -> Best:
    return _where(moves & (candidate.elbo > best.elbo), candidate, best)


def _where(condition: Tensor, new: Record, old: Record) -> Record:
    """Return a record of the rows of one where the condition holds, else of another."""
    rows = (
        torch.where(condition.reshape(-1, *[1] * (x.dim() - 1)), x, y)
        for x, y in zip(new, old, strict=True)
    )
    return type(new)(*rows)
