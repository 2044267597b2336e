"""Dual averaging of the step size (Nesterov 2009; Hoffman & Gelman 2014, section 3.2.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ppl.ops import dual_averaging

GAMMA = 0.05  # how strongly the iterates shrink towards the center
SETTLED_GAMMA = 0.3  # at the end of warm-up


class DualAverage(NamedTuple):
    """The state of the step size search of each chain; every entry has shape ``(chain,)``."""

    log_step: Tensor  # the iterate that is used while adapting
    log_step_mean: Tensor  # the average that is used afterwards
    error_mean: Tensor  # running mean of target minus acceptance probability
    num_updates: Tensor
    center: Tensor  # the iterates shrink towards this log step
    gamma: Tensor  # how strongly they do: the larger, the less they fluctuate


def begin(step_size: Tensor, lean: float = 10.0, gamma: float = GAMMA) -> DualAverage:
    """Return a search that starts at `step_size` and leans towards `lean` times that, ``(chain,)``.

    Ten times saves time where a chain begins with a step that is too small (Hoffman & Gelman 2014).
    """
    zero = torch.zeros_like(step_size)
    log_step = step_size.log()
    center = log_step + math.log(lean)
    return DualAverage(log_step, log_step, zero, zero, center, torch.full_like(zero, gamma))


def settle(step_size: Tensor) -> DualAverage:
    """Return a search around `step_size`, ``(chain,)``, that fluctuates little.

    The acceptance probability bends downwards: with steps that fluctuate by half, as they do in the
    beginning of a search, it is on average lower than with the mean step, which would end too small
    by as much.
    """
    return begin(step_size, lean=1.0, gamma=SETTLED_GAMMA)


def update(average: DualAverage, accept_prob: Tensor, target: float) -> DualAverage:
    """Return the search after one more transition (Hoffman & Gelman 2014, equation 6)."""
    search = dual_averaging.Search(*average)
    return DualAverage(*dual_averaging.update(search, target - accept_prob))
