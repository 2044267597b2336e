"""Dual averaging of the step size (Nesterov 2009; Hoffman & Gelman 2014, section 3.2.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

GAMMA = 0.05  # how strongly the iterates shrink towards the center
T0 = 10.0  # how much the first iterations are damped
KAPPA = 0.75  # how fast the weight of old iterates decays


class DualAverage(NamedTuple):
    """The state of the step size search of each chain; every entry has shape ``(chain,)``."""

    log_step: Tensor  # the iterate that is used while adapting
    log_step_mean: Tensor  # the average that is used afterwards
    error_mean: Tensor  # running mean of target minus acceptance probability
    num_updates: Tensor
    center: Tensor  # the iterates shrink towards this log step


def begin(step_size: Tensor, lean: float = 10.0) -> DualAverage:
    """Return a search that starts at `step_size` and leans towards `lean` times that, ``(chain,)``.

    Ten times saves time where a chain begins with a step that is too small (Hoffman & Gelman 2014).
    """
    zero = torch.zeros_like(step_size)
    log_step = step_size.log()
    return DualAverage(log_step, log_step, zero, zero, log_step + math.log(lean))


def update(average: DualAverage, accept_prob: Tensor, target: float) -> DualAverage:
    """Return the search after one more transition (Hoffman & Gelman 2014, equation 6)."""
    count = average.num_updates + 1
    weight = 1.0 / (count + T0)
    error_mean = torch.lerp(average.error_mean, target - accept_prob, weight)
    log_step = average.center - count.sqrt() / GAMMA * error_mean
    log_step_mean = torch.lerp(average.log_step_mean, log_step, count.pow(-KAPPA))
    return DualAverage(log_step, log_step_mean, error_mean, count, average.center)
