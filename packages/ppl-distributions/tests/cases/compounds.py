"""Counts whose parameters are random themselves, and counts with extra zeros."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import scipy.integrate
import scipy.stats as st
import torch
from scipy.special import expit, gammaln
from torch import tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import COMPOSITIONS, COUNTS, POSITIVE, REAL, SHAPE, UNIT, at

BETA = at(concentration1=POSITIVE, concentration0=SHAPE)
CONCENTRATION = tensor([[1.5, 2.0, 0.8], [3.0, 1.0, 2.0]])
AROUND = torch.arange(-2.0, 8.0, dtype=torch.float64)


def beta_binomial(a, b):
    return st.betabinom(5, a, b)


def inflated(gate, base):
    """Return the law of zero with probability ``gate``, else of ``base``."""

    def logpmf(x):
        return np.log(gate * (x == 0) + (1 - gate) * base.pmf(x))

    return SimpleNamespace(logpmf=logpmf)


def negative_binomial(total_count, probs):
    return st.nbinom(total_count, 1 - probs)


def log_normal_negative_binomial(total_count, logits, scale):
    """Return the law by adaptive quadrature over the noise."""

    def pmf(noise, x):
        r, p = total_count, expit(logits + scale * noise)
        log_pmf = gammaln(x + r) - gammaln(r) - gammaln(x + 1) + r * np.log1p(-p) + x * np.log(p)
        return np.exp(log_pmf) * st.norm.pdf(noise)

    def logpmf(x):
        return np.log(scipy.integrate.quad(pmf, -9, 9, (x,), epsabs=0, epsrel=1e-10)[0])

    return SimpleNamespace(logpmf=logpmf)


CASES = [
    Case("BetaBinomial", lambda **p: dist.BetaBinomial(**p, total_count=5), BETA, beta_binomial),
    Case(
        "DirichletMultinomial",
        lambda c: dist.DirichletMultinomial(c, 5),
        at(c=CONCENTRATION),
        lambda c: st.dirichlet_multinomial(c, 5),
        values=COMPOSITIONS,
    ),
    Case(
        "ExtendedBetaBinomial",
        lambda **p: dist.ExtendedBetaBinomial(**p, total_count=5),
        BETA,
        beta_binomial,
    ),
    Case(
        "ExtendedBinomial",
        lambda probs: dist.ExtendedBinomial(5, probs),
        at(probs=UNIT),
        lambda p: st.binom(5, p),
        values=AROUND,
    ),
    Case(
        "GammaPoisson",
        dist.GammaPoisson,
        at(concentration=SHAPE, rate=POSITIVE),
        lambda c, r: st.nbinom(c, r / (1 + r)),
        values=COUNTS,
    ),
    Case(
        "LogNormalNegativeBinomial",
        lambda **p: dist.LogNormalNegativeBinomial(**p, num_quad_points=48),
        at(
            total_count=5 + SHAPE,
            logits=REAL - 1,
            multiplicative_noise_scale=tensor([0.3, 0.2]),
        ),
        log_normal_negative_binomial,
        values=COUNTS,
    ),
    Case(
        "ZeroInflatedDistribution",
        lambda gate, rate: dist.ZeroInflatedDistribution(gate, dist.Poisson(rate)),
        at(gate=UNIT, rate=SHAPE),
        lambda gate, rate: inflated(gate, st.poisson(rate)),
        values=COUNTS,
    ),
    Case(
        "ZeroInflatedNegativeBinomial",
        dist.ZeroInflatedNegativeBinomial,
        at(gate=UNIT, total_count=SHAPE, probs=tensor([0.6, 0.3])),
        lambda gate, n, p: inflated(gate, negative_binomial(n, p)),
        values=COUNTS,
    ),
    Case(
        "ZeroInflatedNegativeBinomial_logits",
        lambda gate, **p: dist.ZeroInflatedNegativeBinomial(gate_logits=gate, **p),
        at(gate=REAL, total_count=SHAPE, logits=REAL - 1),
        lambda gate, n, x: inflated(expit(gate), negative_binomial(n, expit(x))),
        values=COUNTS,
    ),
    Case(
        "ZeroInflatedPoisson",
        dist.ZeroInflatedPoisson,
        at(gate=UNIT, rate=SHAPE),
        lambda gate, rate: inflated(gate, st.poisson(rate)),
        values=COUNTS,
    ),
]
