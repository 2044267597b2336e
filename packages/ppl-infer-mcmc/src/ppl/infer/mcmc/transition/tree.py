"""The binary tree of the No-U-Turn sampler, grown leaf by leaf without recursion.

A tree of depth ``d`` doubles by growing a subtree of ``2**d`` leaves from one of its ends.  The
recursive definition asks for a U-turn test in every aligned block of a subtree.  Going leaf by
leaf, all blocks that end at leaf ``n`` are tested when that leaf arrives, against momenta kept of
the blocks' first leaves.  Leaf ``n`` is remembered at the level that is its number of one bits,
which keeps exactly the leaves that will be asked for (Phan, Pradhan & Jankowiak 2019; Lao & Dillon
2019).

Everything holds for all chains at once: tensors have shape ``(chain, ...)``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.transition.integrator import Point
from ppl.infer.mcmc.transition.machine import PhasePoint
from ppl.infer.mcmc.transition.masking import select
from ppl.infer.mcmc.transition.metric import Metric, velocity


class Span(NamedTuple):
    """A stretch of a trajectory, in the order in which it was integrated; each ``(..., dim)``."""

    first: Tensor  # momentum of the first leaf
    last: Tensor  # momentum of the last leaf
    total: Tensor  # sum of the momenta of all leaves


def is_turning(metric: Metric, left: Span, right: Span) -> Tensor:
    """Return whether two adjacent spans, shape ``(chain, ..., dim)``, make a U-turn when joined.

    A span turns when the sum of its momenta no longer points along the velocity at one of its ends
    (Betancourt 2017, appendix A.4.2).  The joined span is tested, and each half extended by the
    neighbouring leaf of the other, which finds turns that two halves of equal shape would hide.
    """
    whole = left.total + right.total
    totals = torch.stack((whole, left.total + right.first, left.last + right.total), -2)
    firsts = torch.stack((left.first, left.first, left.last), -2)
    lasts = torch.stack((right.last, right.first, right.last), -2)
    drift = velocity(metric, totals)  # (chain, ..., 3, dim)
    agreement = torch.minimum((drift * firsts).sum(-1), (drift * lasts).sum(-1))
    return (agreement <= 0).any(-1)


class Schedule(NamedTuple):
    """Which levels of memory a leaf writes and which it is tested against, by the leaf's number."""

    opens: Tensor  # (leaf, level) bool: where the leaf is kept as the first of its blocks
    closes: Tensor  # (leaf, level - 1) bool: where it is kept as the last of a left half
    tested: Tensor  # (leaf, level - 1) bool: levels of the first leaves of the blocks it completes


def schedule(max_depth: int, device: torch.device | None = None) -> Schedule:
    """Return the schedule for subtrees of up to ``2 ** (max_depth - 1)`` leaves.

    The blocks that leaf ``n`` completes have 2, 4, ... leaves, one for each trailing one bit of
    ``n``.  Their first leaves lack these bits, hence lie at the levels just below that of ``n``.
    The largest block that ends at ``n`` is the left half of a block that is still open.

    >>> schedule(3).tested.int().tolist()  # leaf 3 completes the blocks [2, 3] and [0, 1, 2, 3]
    [[0, 0], [1, 0], [0, 0], [1, 1]]
    """
    leaf = torch.arange(2 ** (max_depth - 1), device=device)
    level = torch.arange(max_depth, device=device)
    opens = _count_ones(leaf, max_depth)
    closes = _count_ones(leaf + 1, max_depth) - 1  # adding one clears the trailing ones
    below = level[:-1]
    tested = (below >= closes[:, None]) & (below < opens[:, None])
    return Schedule(level == opens[:, None], below == closes[:, None], tested)


def _count_ones(number: Tensor, num_bits: int) -> Tensor:
    bit = torch.arange(num_bits, device=number.device)
    return ((number[:, None] >> bit) & 1).sum(-1)


class Memory(NamedTuple):
    """Momenta of a growing subtree that its later leaves are tested against."""

    first: Tensor  # (chain, level, dim), momentum of the first leaf of a block
    before: Tensor  # (chain, level, dim), sum of the momenta before that leaf
    last: Tensor  # (chain, level - 1, dim), momentum of the last leaf of the block's left half


class Subtree(NamedTuple):
    """The part of the trajectory that is being grown to double the tree."""

    size: Tensor  # (chain,), leaves so far
    momentum_sum: Tensor  # (chain, dim)
    log_weight: Tensor  # (chain,), log of the sum of the leaves' weights
    proposal: PhasePoint
    memory: Memory


class Tree(NamedTuple):
    """The finished part of a trajectory; `near` is the end that grows, `far` the other."""

    far: Point
    near: Tensor  # (chain, dim), momentum
    momentum_sum: Tensor  # (chain, dim)
    log_weight: Tensor  # (chain,)
    proposal: PhasePoint
    depth: Tensor  # (chain,), number of doublings


def seed_tree(start: Point, draw: PhasePoint) -> Tree:
    """Return the tree that consists of the starting point alone."""
    weight = torch.zeros_like(draw.potential)
    depth = torch.zeros_like(draw.potential, dtype=torch.long)
    return Tree(start, start.momentum, start.momentum, weight, draw, depth)


def no_subtree(draw: PhasePoint, max_depth: int) -> Subtree:
    """Return a subtree without leaves."""
    chains, dim = draw.position.shape
    levels = draw.position.new_zeros(chains, max_depth, dim)
    size = torch.zeros_like(draw.potential, dtype=torch.long)
    weight = torch.full_like(draw.potential, -torch.inf)
    memory = Memory(levels, levels, levels[:, 1:])
    return Subtree(size, torch.zeros_like(draw.position), weight, draw, memory)


def grow(
    subtree: Subtree,
    leaf: PhasePoint,
    momentum: Tensor,
    log_weight: Tensor,
    log_coin: Tensor,
    metric: Metric,
    schedule: Schedule,
) -> tuple[Subtree, Tensor]:
    """Return the subtree with one more leaf, and whether a block that the leaf completes turns.

    The new leaf becomes the proposal with its share of the weight, so that the proposal is a
    multinomial draw from all leaves (Betancourt 2017, appendix A.3.1).
    """
    total_weight = torch.logaddexp(subtree.log_weight, log_weight)
    proposal = select(log_coin < log_weight - total_weight, leaf, subtree.proposal)
    opens, closes, tested = (table[subtree.size][..., None] for table in schedule)
    memory = subtree.memory
    first = torch.where(opens, momentum[:, None], memory.first)
    before = torch.where(opens, subtree.momentum_sum[:, None], memory.before)
    momentum_sum = subtree.momentum_sum + momentum
    blocks_turn = _blocks_turn(metric, Memory(first, before, memory.last), momentum, momentum_sum)
    turning = (blocks_turn & tested[..., 0]).any(-1)
    last = torch.where(closes, momentum[:, None], memory.last)
    grown = Subtree(
        subtree.size + 1, momentum_sum, total_weight, proposal, Memory(first, before, last)
    )
    return grown, turning


def _blocks_turn(metric: Metric, memory: Memory, momentum: Tensor, total: Tensor) -> Tensor:
    """Return for each level whether the block that began there and ends at this leaf turns.

    A block's right half begins one level higher than the block, be it at this leaf itself.
    """
    begin, middle = memory.before[:, :-1], memory.before[:, 1:]
    left = Span(memory.first[:, :-1], memory.last, middle - begin)
    right = Span(memory.first[:, 1:], momentum[:, None].expand_as(middle), total[:, None] - middle)
    return is_turning(metric, left, right)


def join(
    tree: Tree, subtree: Subtree, momentum: Tensor, log_coin: Tensor, joins: Tensor, metric: Metric
) -> tuple[Tree, Tensor]:
    """Return the tree doubled by its finished subtree where `joins` holds, and whether it turns.

    `momentum` is that of the subtree's last leaf.  The subtree's proposal replaces the tree's with
    the ratio of their weights, which favours points far from the start (Betancourt 2017, A.3.2).
    """
    accepted = joins & (log_coin < subtree.log_weight - tree.log_weight)
    momentum_sum = tree.momentum_sum + subtree.momentum_sum
    turning = is_turning(
        metric,
        Span(tree.far.momentum, tree.near, tree.momentum_sum),
        Span(subtree.memory.first[:, 0], momentum, subtree.momentum_sum),
    )
    doubled = tree._replace(
        momentum_sum=momentum_sum,
        log_weight=torch.logaddexp(tree.log_weight, subtree.log_weight),
        depth=tree.depth + 1,
    )
    proposal = select(accepted, subtree.proposal, tree.proposal)
    return select(joins, doubled, tree)._replace(proposal=proposal), turning


def begin_subtree(subtree: Subtree, begins: Tensor) -> Subtree:
    """Return the subtree emptied where `begins` holds; its memory is written before it is read."""
    return subtree._replace(
        size=subtree.size.masked_fill(begins, 0),
        momentum_sum=subtree.momentum_sum.masked_fill(begins[:, None], 0.0),
        log_weight=subtree.log_weight.masked_fill(begins, -torch.inf),
    )
