"""Distributions over vectors, correlation matrices and trees."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import scipy.stats as st
from scipy.special import gammaln
from torch import tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import POSITIVE, SCALES, SHAPE, TRIL, VECTOR, at

LOCS = tensor([[[0.5, -1.0], [1.5, 0.2], [-0.4, 0.3]], [[0.0, 0.1], [0.7, 1.0], [1.2, -0.5]]])
LOC_SCALES = tensor([[[0.9, 1.0], [1.5, 0.8], [0.7, 1.2]], [[1.1, 0.6], [0.8, 1.0], [1.4, 0.9]]])
LOGITS = tensor([[0.2, -0.5, 0.9], [1.0, 0.4, -0.3]])
FACTORS = tensor([[0.6, 1.0, 1.7], [0.8, 0.5, 1.3]])
CONTROL = 0.3 * tensor([[[1.0, -0.5], [0.4, 0.8]], [[0.7, 0.6], [-1.0, 0.2]]])
GROUPS = tensor([0, 1, 0])
EDGE_LOGITS = tensor([[0.5, -1.0, 2.0, 0.3, 0.1, -0.6], [-0.7, 1.2, 0.4, 3.0, -2.0, 0.0]])


def normal(loc, scale_tril):
    return st.multivariate_normal(loc, scale_tril @ scale_tril.T)


def mixture(locs, scales, logits):
    weights = np.exp(logits) / np.exp(logits).sum()

    def logpdf(x):
        return np.log(weights @ st.norm(locs, scales).pdf(x).prod(-1))

    return SimpleNamespace(logpdf=logpdf)


def grouped(prior_loc, prior_scale, obs_scale):
    member = np.eye(2)[GROUPS.numpy()]
    cov = member @ np.diag(prior_scale**2) @ member.T + np.diag(obs_scale**2)
    return st.multivariate_normal(member @ prior_loc, cov)


def correlation(concentration):
    """Return the LKJ law of three variables, whose partial correlations are beta variables."""
    log_norm = sum(
        (2 * b - 1) * np.log(2) + 2 * gammaln(b) - gammaln(2 * b)
        for b in (concentration + 0.5, concentration + 0.5, concentration)
    )
    return SimpleNamespace(
        logpdf=lambda x: (concentration - 1) * np.linalg.slogdet(x)[1] - log_norm
    )


def former_lkj(eta):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return dist.LKJCorrCholesky(3, eta)


def spanning_tree(edge_logits):
    """Return the law of trees by the determinant of Kirchhoff (1847)."""
    weights = np.zeros((4, 4))
    for x, (j, i) in zip(edge_logits, zip(*np.tril_indices(4, -1), strict=True), strict=True):
        weights[i, j] = weights[j, i] = np.exp(x)
    laplacian = np.diag(weights.sum(0)) - weights
    log_sum = np.linalg.slogdet(laplacian[1:, 1:])[1]
    return SimpleNamespace(logpmf=lambda x: np.log(weights[x[:, 0], x[:, 1]]).sum() - log_sum)


CASES = [
    Case(
        "AVFMultivariateNormal",
        lambda loc, scale_tril: dist.AVFMultivariateNormal(loc, scale_tril, CONTROL.to(loc)),
        at(loc=VECTOR, scale_tril=TRIL),
        normal,
    ),
    Case(
        "GaussianScaleMixture",
        dist.GaussianScaleMixture,
        at(coord_scale=SCALES, component_logits=LOGITS, component_scale=FACTORS),
        lambda s, logits, f: mixture(np.zeros(2), f[:, None] * s, logits),
    ),
    Case(
        "GaussianScaleMixture_3",
        dist.GaussianScaleMixture,
        at(
            coord_scale=tensor([[1.0, 0.5, 2.0], [0.7, 1.0, 1.2]]),
            component_logits=LOGITS,
            component_scale=FACTORS,
        ),
        lambda s, logits, f: mixture(np.zeros(3), f[:, None] * s, logits),
    ),
    Case(
        "GroupedNormalNormal",
        lambda prior_loc, **p: dist.GroupedNormalNormal(
            prior_loc, **p, group_idx=GROUPS.to(prior_loc.device)
        ),
        at(
            prior_loc=VECTOR,
            prior_scale=SCALES,
            obs_scale=tensor([[0.5, 0.7, 1.0], [1.0, 0.9, 0.6]]),
        ),
        grouped,
    ),
    Case("LKJ", lambda c: dist.LKJ(3, c), at(c=SHAPE), correlation),
    Case("LKJCorrCholesky", former_lkj, at(eta=SHAPE), has_moments=False),
    Case(
        "MixtureOfDiagNormals",
        dist.MixtureOfDiagNormals,
        at(locs=LOCS, coord_scale=LOC_SCALES, component_logits=LOGITS),
        mixture,
    ),
    Case(
        "MixtureOfDiagNormalsSharedCovariance",
        dist.MixtureOfDiagNormalsSharedCovariance,
        at(locs=LOCS, coord_scale=SCALES, component_logits=LOGITS),
        mixture,
    ),
    Case(
        "MultivariateStudentT",
        lambda df, loc, tril: dist.MultivariateStudentT(df, loc, tril.tril()),
        at(df=7 + POSITIVE, loc=VECTOR, tril=TRIL),
        lambda df, loc, tril: st.multivariate_t(loc, tril @ tril.T, df),
    ),
    Case(
        "OMTMultivariateNormal", dist.OMTMultivariateNormal, at(loc=VECTOR, scale_tril=TRIL), normal
    ),
    Case(
        "SpanningTree",
        dist.SpanningTree,
        at(edge_logits=EDGE_LOGITS),
        spanning_tree,
        has_moments=False,
    ),
]
