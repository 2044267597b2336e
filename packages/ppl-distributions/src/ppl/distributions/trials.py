"""Trials by their probabilities or log odds, exact where a probability is 0, 1 or tiny.

torch clamps probabilities to the machine epsilon, so that an impossible event scores -15.9 nats in
single precision and a rare one as much. Here a score comes from the parameter that was given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ppl.ops.powers import log_nonnegative, log_power, log_power_of_rest, log_rest, multiply_log
from ppl.ops.small import plain_if_small

from . import constraints, textbook
from .parameters import derived


class BinaryParameters:
    """First base of a class of torch with ``probs`` or ``logits`` of one event."""

    @derived
    def probs(self) -> Tensor:
        """Probability of a success."""
        return self.logits.sigmoid()

    @derived
    def logits(self) -> Tensor:
        """Log odds of a success."""
        probs: Tensor = self.probs
        return log_nonnegative(probs) - log_rest(probs)

    @property
    def _failure_probs(self) -> Tensor:
        """Probability of a failure, with all digits where log odds are large."""
        logits: Tensor | None = self.__dict__.get("logits")
        return 1 - self.probs if logits is None else (-logits).sigmoid()


def log_trials(dist: Any, successes: Tensor, failures: Tensor) -> Tensor:
    """Return ``log(p ** successes * (1 - p) ** failures)`` for a family of binary parameters."""
    if is_given(dist, "probs"):
        return log_power(successes, dist.probs) + log_power_of_rest(failures, dist.probs)
    logits = dist.logits
    log_success = multiply_log(successes, logsigmoid(logits))
    return log_success + multiply_log(failures, logsigmoid(-logits))


def log_trial(dist: Any, value: Tensor) -> Tensor:
    """Return the same for one trial; a value between 0 and 1 is a share of a success."""
    if not value.is_floating_point():
        value = value.to(dist._param.dtype)
    if is_given(dist, "probs"):
        return _log_trial(value, dist.probs)
    return _log_trial_of_logits(value, dist.logits)


@plain_if_small(textbook.bernoulli)
def _log_trial(value: Tensor, probs: Tensor) -> Tensor:
    return log_power(value, probs) + log_power_of_rest(1 - value, probs)


@plain_if_small(textbook.bernoulli_of_logits)
def _log_trial_of_logits(value: Tensor, logits: Tensor) -> Tensor:
    positive = logits > 0
    surprise = (-torch.where(positive, logits, -logits)).exp().log1p()  # of what is expected
    return multiply_log(torch.where(positive, value - 1, value), logits) - surprise


def trial_entropy(dist: Any) -> Tensor:
    """Return the entropy (nats) of one trial; its slope is finite where an event is impossible."""
    if is_given(dist, "probs"):
        success = dist.probs
        return -log_power(success, success) - log_power_of_rest(1 - success, success)
    distance = finite_logits(dist).abs()
    return distance * (-distance).sigmoid() - logsigmoid(distance)


def finite_logits(dist: Any) -> Tensor:
    """Return log odds within the floating-point range, where 0 times them is 0."""
    logits: Tensor = dist.logits
    bound = torch.finfo(logits.dtype).max
    return logits.clamp(-bound, bound)


def is_given(dist: Any, name: str) -> bool:
    """Return whether a distribution was parameterized by ``probs`` or by ``logits``."""
    return name in dist.__dict__  # what is derived is not stored


def given(dist: Any) -> dict[str, Tensor]:
    """Return the parameter that a distribution was given, by name, for another of its kind."""
    name = "probs" if is_given(dist, "probs") else "logits"
    return {name: getattr(dist, name)}


def enumerate_counts(dist: Any, expand: bool) -> Tensor:
    """Return 0, 1, ... up to the largest total of a family of counts, ``(count, *batch)``.

    Where totals differ the values of an entry reach beyond its own: a family that scores every
    integer gives those the log density -inf, and the others refuse them.

    Raises:
        NotImplementedError: If ``dist`` refuses counts above a total, and its totals differ.
    """
    total = dist.total_count
    largest = max(0, int(total.max())) if total.numel() else 0
    if dist.support is not constraints.integer and bool((total != largest).any()):
        name = type(dist).__name__
        raise NotImplementedError(
            f"{name}: total_count differs between the entries of the batch (from "
            f"{int(total.min())} to {largest}), so that they cannot be enumerated in lockstep; "
            f"write Extended{name}, which gives counts above the total of an entry the log density "
            "-inf, or use one site for each total"
        )
    values = torch.arange(largest + 1).to(dist.mean)
    values = values.reshape((-1,) + (1,) * len(dist.batch_shape))
    return values.expand((-1, *dist.batch_shape)) if expand else values
