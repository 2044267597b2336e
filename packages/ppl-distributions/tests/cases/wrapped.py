"""Torch's distributions in our wrapping."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import scipy.stats as st
from torch import tensor
from torch.distributions.transforms import AffineTransform, ExpTransform

import ppl.distributions as dist
from ppl.distributions import biject_to, constraints
from ppl.distributions.testing import Case

from .values import (
    BOTH,
    COMPOSITIONS,
    COUNTS,
    POSITIVE,
    REAL,
    SCALES,
    SHAPE,
    TRIL,
    UNIT,
    VECTOR,
    WEIGHTS,
    at,
    image,
)


def kumaraswamy(a, b):
    return image(st.beta(1, b), lambda x: x**a, lambda x: np.log(a) + (a - 1) * np.log(x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def categorical(probs):
    return st.rv_discrete(values=(range(len(probs)), probs))


def one_hot(probs):
    return st.multinomial(1, probs)


def low_rank(loc, cov_factor, cov_diag):
    return st.multivariate_normal(loc, cov_factor @ cov_factor.T + np.diag(cov_diag))


def mixture(probs, loc, scale):
    return SimpleNamespace(logpdf=lambda x: np.log(probs @ st.norm(loc, scale).pdf(x)))


def log_normal_1(loc, scale):
    return image(st.norm(loc, scale), lambda x: np.log((x - 1) / 2), lambda x: -np.log(x - 1))


CASES = [
    Case("Bernoulli", dist.Bernoulli, at(probs=UNIT), st.bernoulli),
    Case("Bernoulli_logits", dist.Bernoulli, at(logits=REAL), lambda x: st.bernoulli(sigmoid(x))),
    Case("Beta", dist.Beta, at(concentration1=POSITIVE, concentration0=SHAPE), st.beta),
    Case(
        "Binomial", lambda probs: dist.Binomial(5, probs), at(probs=UNIT), lambda p: st.binom(5, p)
    ),
    Case(
        "Binomial_logits",
        lambda x: dist.Binomial(5, logits=x),
        at(x=REAL),
        lambda x: st.binom(5, sigmoid(x)),
    ),
    Case("Categorical", dist.Categorical, at(probs=WEIGHTS), categorical, has_moments=False),
    Case(
        "Categorical_logits",
        dist.Categorical,
        at(logits=WEIGHTS.log()),
        lambda x: categorical(np.exp(x)),
        has_moments=False,
    ),
    Case("Cauchy", dist.Cauchy, at(loc=REAL, scale=POSITIVE), st.cauchy, has_moments=False, **BOTH),
    Case("Chi2", dist.Chi2, at(df=SHAPE), st.chi2, has_cdf=True),
    Case("ContinuousBernoulli", dist.ContinuousBernoulli, at(probs=UNIT), **BOTH),
    Case("ContinuousBernoulli_logits", dist.ContinuousBernoulli, at(logits=REAL), **BOTH),
    Case(
        "Dirichlet",
        dist.Dirichlet,
        at(concentration=tensor([[1.5, 2.0, 0.8], [3.0, 1.0, 2.0]])),
        st.dirichlet,
    ),
    Case("Exponential", dist.Exponential, at(rate=POSITIVE), lambda r: st.expon(0, 1 / r), **BOTH),
    Case("FisherSnedecor", dist.FisherSnedecor, at(df1=SHAPE, df2=10 + SHAPE), st.f),
    Case(
        "Gamma",
        dist.Gamma,
        at(concentration=SHAPE, rate=POSITIVE),
        lambda a, r: st.gamma(a, 0, 1 / r),
        has_cdf=True,
    ),
    Case(
        "GeneralizedPareto",
        dist.GeneralizedPareto,
        at(loc=REAL, scale=POSITIVE, concentration=tensor([0.1, 0.05])),
        lambda m, s, c: st.genpareto(c, m, s),
        moving_support=True,
        **BOTH,
    ),
    Case(
        "GeneralizedPareto_bounded",
        dist.GeneralizedPareto,
        at(loc=REAL, scale=POSITIVE, concentration=tensor([-0.3, -0.2])),
        lambda m, s, c: st.genpareto(c, m, s),
        moving_support=True,
        **BOTH,
    ),
    Case("Geometric", dist.Geometric, at(probs=UNIT), lambda p: st.geom(p, -1), values=COUNTS),
    Case(
        "Geometric_logits",
        dist.Geometric,
        at(logits=REAL),
        lambda x: st.geom(sigmoid(x), -1),
        values=COUNTS,
    ),
    Case("Gumbel", dist.Gumbel, at(loc=REAL, scale=POSITIVE), st.gumbel_r, **BOTH),
    Case(
        "HalfCauchy",
        dist.HalfCauchy,
        at(scale=POSITIVE),
        lambda s: st.halfcauchy(0, s),
        has_moments=False,
        **BOTH,
    ),
    Case("HalfNormal", dist.HalfNormal, at(scale=POSITIVE), lambda s: st.halfnorm(0, s), **BOTH),
    Case(
        "Independent",
        lambda loc, scale: dist.Normal(loc, scale).to_event(1),
        at(loc=VECTOR, scale=SCALES),
        lambda m, s: st.multivariate_normal(m, np.diag(s**2)),
    ),
    Case(
        "InverseGamma",
        dist.InverseGamma,
        at(concentration=5 + SHAPE, rate=POSITIVE),
        lambda a, r: st.invgamma(a, 0, r),
    ),
    Case(
        "Kumaraswamy",
        dist.Kumaraswamy,
        at(concentration1=SHAPE, concentration0=POSITIVE),
        kumaraswamy,
        **BOTH,
    ),
    Case(
        "LKJCholesky_2", lambda eta: dist.LKJCholesky(2, eta), at(eta=POSITIVE), has_moments=False
    ),
    Case(
        "LKJCholesky_3", lambda eta: dist.LKJCholesky(3, eta), at(eta=POSITIVE), has_moments=False
    ),
    Case(
        "LKJCholesky_5", lambda eta: dist.LKJCholesky(5, eta), at(eta=POSITIVE), has_moments=False
    ),
    Case("Laplace", dist.Laplace, at(loc=REAL, scale=POSITIVE), st.laplace, **BOTH),
    Case(
        "LogNormal",
        dist.LogNormal,
        at(loc=REAL, scale=tensor([0.5, 0.3])),
        lambda m, s: st.lognorm(s, 0, np.exp(m)),
        **BOTH,
    ),
    Case("LogisticNormal", dist.LogisticNormal, at(loc=VECTOR, scale=SCALES), has_moments=False),
    Case(
        "LowRankMultivariateNormal",
        dist.LowRankMultivariateNormal,
        at(loc=VECTOR, cov_factor=SCALES.unsqueeze(-1), cov_diag=SCALES),
        low_rank,
    ),
    Case(
        "MaskedDistribution",
        lambda loc, scale: dist.Normal(loc, scale).mask(True),
        at(loc=REAL, scale=POSITIVE),
        st.norm,
    ),
    Case(
        "MixtureSameFamily",
        lambda probs, loc, scale: dist.MixtureSameFamily(
            dist.Categorical(probs), dist.Normal(loc, scale)
        ),
        at(probs=WEIGHTS, loc=tensor([[-2.0, 0.0, 1.0], [0.0, 3.0, 4.0]]), scale=WEIGHTS + 0.5),
        mixture,
        has_cdf=True,
    ),
    Case(
        "Multinomial",
        lambda probs: dist.Multinomial(5, probs),
        at(probs=WEIGHTS),
        lambda p: st.multinomial(5, p),
        values=COMPOSITIONS,
    ),
    Case(
        "MultivariateNormal_covariance",
        lambda loc, tril: dist.MultivariateNormal(loc, tril @ tril.mT),
        at(loc=VECTOR, tril=TRIL),
        lambda m, a: st.multivariate_normal(m, a @ a.T),
    ),
    Case(
        "MultivariateNormal_precision",
        lambda loc, tril: dist.MultivariateNormal(loc, precision_matrix=tril @ tril.mT),
        at(loc=VECTOR, tril=TRIL),
        lambda m, a: st.multivariate_normal(m, np.linalg.inv(a @ a.T)),
    ),
    Case(
        "MultivariateNormal_tril",
        lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril.tril()),
        at(loc=VECTOR, tril=TRIL),
        lambda m, a: st.multivariate_normal(m, a @ a.T),
    ),
    Case(
        "NegativeBinomial",
        dist.NegativeBinomial,
        at(total_count=SHAPE, probs=tensor([0.3, 0.6])),
        lambda n, p: st.nbinom(n, 1 - p),
        values=COUNTS,
    ),
    Case("Normal", dist.Normal, at(loc=REAL, scale=POSITIVE), st.norm, **BOTH),
    Case("OneHotCategorical", dist.OneHotCategorical, at(probs=WEIGHTS), one_hot),
    Case(
        "OneHotCategoricalStraightThrough",
        dist.OneHotCategoricalStraightThrough,
        at(probs=WEIGHTS),
        one_hot,
        is_pathwise=False,
    ),
    Case(
        "Pareto",
        dist.Pareto,
        at(scale=POSITIVE, alpha=5 + SHAPE),
        lambda s, a: st.pareto(a, 0, s),
        moving_support=True,
        **BOTH,
    ),
    Case("Poisson", dist.Poisson, at(rate=SHAPE), st.poisson, values=COUNTS),
    Case(
        "RelaxedBernoulli",
        dist.RelaxedBernoulli,
        at(temperature=POSITIVE, probs=UNIT),
        has_moments=False,
    ),
    Case(
        "RelaxedBernoulli_logits",
        dist.RelaxedBernoulli,
        at(temperature=POSITIVE, logits=REAL),
        has_moments=False,
    ),
    Case(
        "RelaxedOneHotCategorical",
        lambda probs: dist.RelaxedOneHotCategorical(probs.new_tensor(0.7), probs),
        at(probs=WEIGHTS),
        has_moments=False,
    ),
    Case("StudentT", dist.StudentT, at(df=5 + SHAPE, loc=REAL, scale=POSITIVE), st.t),
    Case(
        "TransformedDistribution",
        lambda loc, scale: dist.TransformedDistribution(
            dist.Normal(loc, scale), [ExpTransform(), AffineTransform(1.0, 2.0)]
        ),
        at(loc=REAL, scale=POSITIVE),
        log_normal_1,
        coordinates=lambda d: biject_to(constraints.greater_than(1.0)),
        has_moments=False,
        **BOTH,
    ),
    Case(
        "Uniform",
        dist.Uniform,
        at(low=REAL, high=REAL + POSITIVE),
        lambda a, b: st.uniform(a, b - a),
        moving_support=True,
        **BOTH,
    ),
    Case(
        "VonMises",
        dist.VonMises,
        at(loc=tensor([-0.7, 3.0]), concentration=POSITIVE),
        lambda m, k: st.vonmises(k, m),
        coordinates=lambda d: biject_to(constraints.circular),
        has_moments=False,
    ),
    Case(
        "Weibull",
        dist.Weibull,
        at(scale=POSITIVE, concentration=SHAPE),
        lambda s, k: st.weibull_min(k, 0, s),
        **BOTH,
    ),
    Case(
        "Wishart",
        lambda df, tril: dist.Wishart(df, scale_tril=tril.tril()),
        at(df=2 + SHAPE, tril=TRIL),
        lambda v, a: st.wishart(float(v), a @ a.T),
    ),
    Case(
        "Wishart_covariance",
        lambda df, tril: dist.Wishart(df, tril @ tril.mT),
        at(df=2 + SHAPE, tril=TRIL),
        lambda v, a: st.wishart(float(v), a @ a.T),
    ),
    Case(
        "Wishart_precision",
        lambda df, tril: dist.Wishart(df, precision_matrix=tril @ tril.mT),
        at(df=2 + SHAPE, tril=TRIL),
        lambda v, a: st.wishart(float(v), np.linalg.inv(a @ a.T)),
    ),
]
