"""Truncated, censored and hurdle distributions, and counts with bounds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import scipy.stats as st
from torch import tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import BOTH, COUNTS, POSITIVE, REAL, SHAPE, UNIT, at


def truncated(base, low, high):
    """Return a scipy distribution given that its value lies between two bounds."""
    log_mass = np.log(base.cdf(high) - base.cdf(low))
    return SimpleNamespace(logpdf=lambda x: base.logpdf(x) - log_mass)


def censored(base, low, high):
    """Return a scipy distribution whose values beyond a bound are seen at the bound."""

    def logpdf(x):
        inside = np.where(x <= low, base.logcdf(low), base.logpdf(x))
        return np.where(x >= high, base.logsf(high), inside)

    return SimpleNamespace(logpdf=logpdf)


def hurdle(gate, base, log_nonzero):
    """Return zero with the probability of the gate, else a nonzero draw of the base."""

    def score(x):
        rest = np.log1p(-gate) + base(np.where(x == 0, 1, x)) - log_nonzero
        return np.where(x == 0, np.log(gate), rest)

    return score


def hurdle_pmf(gate, base):
    return SimpleNamespace(logpmf=hurdle(gate, base.logpmf, base.logsf(0)))


def ordered_logistic(predictor, cutpoints):
    below = st.logistic.cdf(cutpoints - predictor)
    return st.rv_discrete(values=(range(4), np.diff(below, prepend=0, append=1)))


CASES = [
    Case(
        "Censored",
        lambda loc, scale: dist.Censored(dist.Normal(loc, scale), -1.0, 2.0),
        at(loc=REAL, scale=POSITIVE),
        lambda m, s: censored(st.norm(m, s), -1, 2),
        has_moments=False,
        has_atoms=True,
    ),
    Case(
        "Censored_right",
        lambda scale, concentration: dist.Censored(dist.Weibull(scale, concentration), high=1.5),
        at(scale=POSITIVE, concentration=SHAPE),
        lambda s, k: censored(st.weibull_min(k, 0, s), -1, 1.5),
        has_moments=False,
        has_atoms=True,
    ),
    Case(
        "Hurdle",
        lambda gate, rate: dist.Hurdle(gate, dist.Poisson(rate)),
        at(gate=UNIT, rate=SHAPE),
        lambda g, r: hurdle_pmf(g, st.poisson(r)),
        values=COUNTS,
    ),
    Case(
        "Hurdle_logits",
        lambda gate, rate: dist.Hurdle(None, dist.Geometric(rate), gate_logits=gate),
        at(gate=REAL, rate=UNIT),
        lambda g, p: hurdle_pmf(1 / (1 + np.exp(-g)), st.geom(p, -1)),
        values=COUNTS,
    ),
    Case(
        "Hurdle_amount",
        lambda gate, loc, scale: dist.Hurdle(gate, dist.LogNormal(loc, scale)),
        at(gate=UNIT, loc=REAL, scale=tensor([0.5, 0.3])),
        lambda g, m, s: SimpleNamespace(logpdf=hurdle(g, st.lognorm(s, 0, np.exp(m)).logpdf, 0.0)),
        has_atoms=True,
    ),
    Case(
        "HurdleNegativeBinomial",
        dist.HurdleNegativeBinomial,
        at(gate=UNIT, total_count=SHAPE, probs=tensor([0.3, 0.6])),
        lambda g, n, p: hurdle_pmf(g, st.nbinom(n, 1 - p)),
        values=COUNTS,
    ),
    Case(
        "HurdlePoisson",
        dist.HurdlePoisson,
        at(gate=UNIT, rate=tensor([0.01, 2.0])),
        lambda g, r: hurdle_pmf(g, st.poisson(r)),
        values=COUNTS,
    ),
    Case(
        "OrderedLogistic",
        dist.OrderedLogistic,
        at(predictor=REAL, cutpoints=tensor([[-1.0, 0.5, 0.6], [0.0, 0.1, 3.0]])),
        ordered_logistic,
        has_moments=False,
    ),
    Case(
        "Truncated",
        lambda loc, scale: dist.Truncated(dist.Normal(loc, scale), -1.0, 2.0),
        at(loc=REAL, scale=POSITIVE),
        lambda m, s: truncated(st.norm(m, s), -1, 2),
        **BOTH,
    ),
    Case(
        "Truncated_above",
        lambda loc, scale: dist.Truncated(dist.Cauchy(loc, scale), high=0.5),
        at(loc=REAL, scale=POSITIVE),
        lambda m, s: truncated(st.cauchy(m, s), -np.inf, 0.5),
        has_moments=False,
        **BOTH,
    ),
    Case(
        "Truncated_below",
        lambda scale, concentration: dist.Truncated(dist.Weibull(scale, concentration), 0.7),
        at(scale=POSITIVE, concentration=SHAPE),
        lambda s, k: truncated(st.weibull_min(k, 0, s), 0.7, np.inf),
        **BOTH,
    ),
    Case(
        "Truncated_inside_its_support",
        lambda scale: dist.Truncated(dist.HalfNormal(scale), high=0.7),
        at(scale=POSITIVE),
        lambda s: truncated(st.halfnorm(0, s), 0, 0.7),
        **BOTH,
    ),
    Case(
        "Truncated_upper_tail",
        lambda loc, scale: dist.Truncated(dist.Logistic(loc, scale), 2.0, 4.0),
        at(loc=REAL, scale=POSITIVE),
        lambda m, s: truncated(st.logistic(m, s), 2, 4),
        **BOTH,
    ),
]
