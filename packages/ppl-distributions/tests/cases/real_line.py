"""Further distributions over the real line and over intervals, and those for missing values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import scipy.stats as st
from torch import tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import BOTH, POSITIVE, REAL, SHAPE, TRIL, VECTOR, at


def normal_laplace(loc, scale, asymmetry, softness):
    """Return a scipy sum of a normal and two exponentials, its density by quadrature."""
    left, right, soft = scale * asymmetry, scale / asymmetry, scale * softness
    laplace = st.laplace_asymmetric(np.sqrt(left / right), 0, np.sqrt(left * right))
    z = np.linspace(-12, 12, 200_001)
    weight = st.norm.pdf(z) * (z[1] - z[0])
    return SimpleNamespace(logpdf=lambda x: np.log(laplace.pdf(x - loc - soft * z) @ weight))


def asymmetric_laplace(loc, scale, asymmetry):
    return st.laplace_asymmetric(asymmetry, loc, scale)


CASES = [
    Case(
        "AffineBeta",
        dist.AffineBeta,
        at(concentration1=SHAPE, concentration0=POSITIVE, loc=REAL, scale=SHAPE),
        st.beta,
        moving_support=True,
    ),
    Case(
        "AsymmetricLaplace",
        dist.AsymmetricLaplace,
        at(loc=REAL, scale=POSITIVE, asymmetry=SHAPE),
        asymmetric_laplace,
    ),
    Case("Logistic", dist.Logistic, at(loc=REAL, scale=POSITIVE), st.logistic, **BOTH),
    Case(
        "NanMaskedMultivariateNormal",
        lambda loc, tril: dist.NanMaskedMultivariateNormal(loc, scale_tril=tril.tril()),
        at(loc=VECTOR, tril=TRIL),
        lambda m, a: st.multivariate_normal(m, a @ a.T),
    ),
    Case("NanMaskedNormal", dist.NanMaskedNormal, at(loc=REAL, scale=POSITIVE), st.norm, **BOTH),
    Case(
        "SkewLogistic",
        dist.SkewLogistic,
        at(loc=REAL, scale=POSITIVE, asymmetry=tensor([0.6, 2.5])),
        lambda m, s, a: st.genlogistic(a, m, s),
        **BOTH,
    ),
    Case(
        "SoftAsymmetricLaplace",
        dist.SoftAsymmetricLaplace,
        at(loc=REAL, scale=POSITIVE, asymmetry=SHAPE, softness=tensor([0.4, 1.5])),
        normal_laplace,
    ),
    Case(
        "SoftLaplace",
        dist.SoftLaplace,
        at(loc=REAL, scale=POSITIVE),
        lambda m, s: st.hypsecant(m, s),
        **BOTH,
    ),
]
