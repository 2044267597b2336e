"""Distributions made of others, and of samples; stable laws."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import scipy.stats as st
import torch
from torch import Tensor, tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import POSITIVE, REAL, SHAPE, TRIL, UNIT, VECTOR, WEIGHTS, at

TEMPERATURE = tensor(0.7, dtype=torch.float64)
SAMPLES = tensor([-0.5, 0.25, 3.0])
VECTOR_SAMPLES = tensor([[-0.5, 1.0], [0.25, 1.0], [3.0, -1.0]])


@dataclass
class Decay:
    """Keep a value with probability ``exp(-speed * value)``: exponentials become faster ones."""

    speed: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return -self.speed * x


def thinned(rate, speed):
    base = dist.Exponential(rate, validate_args=False)
    return dist.Rejector(base, Decay(speed), (rate / (rate + speed)).log())


def empirical(samples, log_weights):
    samples = samples.to(log_weights).expand(log_weights.shape[:-1] + samples.shape)
    return dist.Empirical(samples, log_weights, validate_args=False)


def stable(stability, skew, scale, loc):
    """Return scipy's law, whose location is another; near stability 1 it is less accurate."""
    shift = scale * skew * np.tan(np.pi / 2 * stability)
    return st.levy_stable(stability, skew, loc - shift, scale)


def stable_at(stability, skew):
    return at(stability=stability, skew=skew, scale=POSITIVE, loc=REAL)


def relaxed(probs):
    """Return the density of a relaxed Bernoulli at temperature 0.7 (Maddison et al. 2017)."""

    def logpdf(x):
        odds, t = probs / (1 - probs), 0.7
        ratio = odds * (1 / x - 1) ** t
        return np.log(t * ratio / (x * (1 - x))) - 2 * np.log1p(ratio)

    return SimpleNamespace(logpdf=logpdf)


CASES = [
    Case(
        "Empirical",
        lambda log_weights: empirical(SAMPLES, log_weights),
        at(log_weights=WEIGHTS.log()),
        lambda w: SimpleNamespace(logpmf=lambda x: w[SAMPLES.numpy() == x]),
    ),
    Case(
        "Empirical_vector",
        lambda log_weights: empirical(VECTOR_SAMPLES, log_weights),
        at(log_weights=WEIGHTS.log()),
    ),
    Case(
        "FoldedDistribution",
        lambda loc, scale: dist.FoldedDistribution(dist.Normal(loc, scale)),
        at(loc=REAL, scale=POSITIVE),
        lambda loc, scale: st.foldnorm(abs(loc) / scale, 0, scale),
        has_moments=False,
    ),
    Case(
        "MaskedMixture",
        lambda mask, loc, scale: dist.MaskedMixture(
            mask > 0, dist.Normal(loc, scale), dist.Laplace(-loc, scale)
        ),
        at(mask=tensor([1.0, -1.0]), loc=REAL, scale=POSITIVE),
        lambda mask, loc, scale: st.laplace(-loc, scale) if mask > 0 else st.norm(loc, scale),
    ),
    Case(
        "MaskedMixture_vector",
        lambda mask, loc, scale_tril: dist.MaskedMixture(
            mask > 0,
            dist.MultivariateNormal(loc, scale_tril=scale_tril.tril()),
            dist.MultivariateNormal(-loc, scale_tril=scale_tril.tril()),
        ),
        at(mask=tensor([1.0, -1.0]), loc=VECTOR, scale_tril=TRIL),
        lambda mask, loc, tril: st.multivariate_normal(-np.sign(mask) * loc, tril @ tril.T),
    ),
    Case(
        "Rejector",
        thinned,
        at(rate=POSITIVE, speed=SHAPE),
        lambda rate, speed: st.expon(0, 1 / (rate + speed)),
        has_moments=False,
        is_pathwise=False,
        is_rejected=True,
    ),
    Case(
        "RelaxedBernoulliStraightThrough",
        lambda probs: dist.RelaxedBernoulliStraightThrough(TEMPERATURE.to(probs), probs),
        at(probs=UNIT),
        relaxed,
        has_moments=False,
        is_pathwise=False,
    ),
    Case(
        "RelaxedOneHotCategoricalStraightThrough",
        lambda logits: dist.RelaxedOneHotCategoricalStraightThrough(
            TEMPERATURE.to(logits), logits=logits
        ),
        at(logits=WEIGHTS.log()),
        has_moments=False,
        is_pathwise=False,
    ),
    Case(
        "Stable",
        dist.Stable,
        stable_at(tensor([1.3, 1.8]), tensor([0.4, -0.7])),
        stable,
        has_moments=False,
    ),
]
