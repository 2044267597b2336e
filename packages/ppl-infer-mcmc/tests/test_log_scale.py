"""The potential's slopes far out on the unconstrained scale, where constrained values are rounded.

The law: at every point of the unconstrained scale, in both precisions, the slope of the potential
is that of the exact log density and log Jacobian together, also where the constrained value is
rounded to 0, to 1 or to infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
import pytest
import torch
from mpmath import mp
from scipy import stats
from torch.distributions.transforms import ExpTransform, SigmoidTransform, SoftplusTransform
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import poutine
from ppl.infer.layout import Layout
from ppl.infer.mcmc import MCMC, NUTS
from ppl.infer.mcmc.target.evaluation import recorded_potential
from ppl.infer.mcmc.target.potential import ModelPotential, flat
from ppl.ops.stats import effective_sample_size
from ppl.primitives import plate, sample

POINTS = [-100.0, -30.0, -5.0, 0.0, 5.0, 30.0, 100.0]
DIGITS = 150  # 1 - sigmoid(100) has its first one at the 44th place


def exp(u):
    return mp.exp(u), None, u


def sigmoid(u):
    y, rest = 1 / (1 + mp.exp(-u)), 1 / (1 + mp.exp(u))
    return y, rest, mp.log(y) + mp.log(rest)


@dataclass
class Family:
    """A univariate family, its log density at ``y`` and ``1 - y``, and its bijection.

    The latter returns these and the log Jacobian.
    """

    name: str
    make: Any
    parameters: tuple[float, ...]
    log_density: Any
    bijection: Any = exp

    def __str__(self):
        return self.name

    def dist(self, dtype):
        return self.make(*torch.tensor(self.parameters, dtype=dtype))

    def energy(self, u):
        """The potential, an exact number."""
        exact = tuple(mp.mpf(p) for p in self.dist_parameters)
        y, rest, log_slope = self.bijection(u)
        return -self.log_density(y, rest, *exact) - log_slope

    dtype = torch.float64

    @property
    def dist_parameters(self):
        """As they are rounded."""
        return torch.tensor(self.parameters, dtype=self.dtype).double().tolist()


def log_beta(a, b):
    return mp.log(mp.beta(a, b))


def gamma(y, rest, a, b):
    return a * mp.log(b) - mp.loggamma(a) + (a - 1) * mp.log(y) - b * y


def inverse_gamma(y, rest, a, b):
    return a * mp.log(b) - mp.loggamma(a) - (a + 1) * mp.log(y) - b / y


def beta(y, rest, a, b):
    return (a - 1) * mp.log(y) + (b - 1) * mp.log(rest) - log_beta(a, b)


def kumaraswamy(y, rest, a, b):
    log_power = mp.log1p(-rest) * a if rest < 0.5 else mp.log(y) * a
    return mp.log(a * b) + (a - 1) * mp.log(y) + (b - 1) * mp.log(-mp.expm1(log_power))


def fisher(y, rest, d1, d2):
    power = d1 / 2 * mp.log(d1 / d2) + (d1 / 2 - 1) * mp.log(y)
    return power - (d1 + d2) / 2 * mp.log(1 + d1 / d2 * y) - log_beta(d1 / 2, d2 / 2)


def relaxed(y, rest, t, logit):
    odds = mp.log(y) - mp.log(rest)
    gap = logit - t * odds
    return mp.log(t) + gap - 2 * mp.log(1 + mp.exp(gap)) - mp.log(y) - mp.log(rest)


def normal(z, scale):
    return -((z / scale) ** 2) / 2 - mp.log(scale) - mp.log(2 * mp.pi) / 2


FAMILIES = [
    Family("Gamma", dist.Gamma, (0.01, 1.5), gamma),
    Family("Gamma_large", dist.Gamma, (1e4, 1e4), gamma),
    Family("Chi2", dist.Chi2, (0.2,), lambda y, r, k: gamma(y, r, k / 2, mp.mpf(0.5))),
    Family("InverseGamma", dist.InverseGamma, (0.1, 2.0), inverse_gamma),
    Family("Beta", dist.Beta, (0.1, 0.3), beta, sigmoid),
    Family("Beta_large", dist.Beta, (3e4, 2e4), beta, sigmoid),
    Family(
        "AffineBeta",
        lambda a, b: dist.AffineBeta(a, b, loc=-1.0, scale=4.0),
        (0.1, 0.3),
        lambda y, r, a, b: beta((y + 1) / 4, r, a, b) - mp.log(4),
        lambda u: (4 * sigmoid(u)[0] - 1, sigmoid(u)[1], mp.log(4) + sigmoid(u)[2]),
    ),
    Family("Kumaraswamy", dist.Kumaraswamy, (0.25, 0.3), kumaraswamy, sigmoid),
    Family(
        "RelaxedBernoulli",
        lambda t, logit: dist.RelaxedBernoulli(t, logits=logit),
        (0.2, 0.5),
        relaxed,
        sigmoid,
    ),
    Family("Uniform", dist.Uniform, (0.0, 1.0), lambda y, r, a, b: mp.mpf(0), sigmoid),
    Family("Exponential", dist.Exponential, (0.7,), lambda y, r, rate: mp.log(rate) - rate * y),
    Family(
        "HalfCauchy",
        dist.HalfCauchy,
        (1.5,),
        lambda y, r, s: mp.log(2 / mp.pi / s) - mp.log(1 + (y / s) ** 2),
    ),
    Family("HalfNormal", dist.HalfNormal, (1.5,), lambda y, r, s: mp.log(2) + normal(y, s)),
    Family(
        "LogNormal",
        dist.LogNormal,
        (1.0, 9.0),
        lambda y, r, m, s: normal(mp.log(y) - m, s) - mp.log(y),
    ),
    Family(
        "logit_normal",
        lambda s: dist.TransformedDistribution(dist.Normal(0 * s, s), SigmoidTransform()),
        (9.0,),
        lambda y, r, s: normal(mp.log(y) - mp.log(r), s) - mp.log(y) - mp.log(r),
        sigmoid,
    ),
    Family(
        "Weibull",
        dist.Weibull,
        (2.0, 0.03),
        lambda y, r, s, k: mp.log(k / s) + (k - 1) * mp.log(y / s) - (y / s) ** k,
    ),
    Family("FisherSnedecor", dist.FisherSnedecor, (0.3, 0.7), fisher),
    Family(
        "Pareto",
        dist.Pareto,
        (2.0, 0.5),
        lambda y, r, s, a: mp.log(a) + a * mp.log(s) - (a + 1) * mp.log(y),
        lambda u: (2 + mp.exp(u), None, u),
    ),
    Family(
        "FoldedDistribution",
        lambda s: dist.FoldedDistribution(dist.Cauchy(0 * s, s)),
        (1.5,),
        lambda y, r, s: mp.log(2 / mp.pi / s) - mp.log(1 + (y / s) ** 2),
    ),
    Family(
        "Truncated",
        lambda s: dist.Truncated(dist.Cauchy(0 * s, s), low=0.0),
        (1.5,),
        lambda y, r, s: mp.log(2 / mp.pi / s) - mp.log(1 + (y / s) ** 2),
    ),
]


def slope_of(model, **unconstrained):
    """Return potential and slopes of a model at unconstrained values."""
    leaves = {name: u.clone().requires_grad_() for name, u in unconstrained.items()}
    potential = ModelPotential(model, (), {})(leaves)
    slopes = torch.autograd.grad(potential, list(leaves.values()))
    return potential.detach(), *slopes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_slopes_and_values_are_exact_everywhere(family, dtype):
    rounding = torch.finfo(dtype).eps
    fn, family.dtype = family.dist(dtype), dtype
    with mpmath.workdps(DIGITS):
        for point in POINTS:
            energy, slope = (family.energy(mp.mpf(point)), mp.diff(family.energy, mp.mpf(point)))
            u = torch.tensor(point, dtype=dtype)
            found, found_slope = slope_of(lambda: sample("x", fn), x=u)
            if max(abs(energy), abs(slope)) > torch.finfo(dtype).max:
                assert not found < torch.finfo(dtype).max, point
                continue
            size = max(1, abs(point), abs(float(energy)))
            assert abs(found - float(energy)) < 50 * rounding * size, point
            size = max(1.0, *map(abs, family.parameters), abs(float(slope)))
            # torch's softplus leaves out what is below exp(-20)
            assert abs(found_slope - float(slope)) < max(50 * rounding, 3e-9) * size, point


SIMPLICES = {
    "Dirichlet": dist.Dirichlet(torch.tensor([0.1, 0.2, 0.3])),
    "RelaxedOneHot": dist.RelaxedOneHotCategorical(torch.tensor(0.2), logits=torch.zeros(3)),
    "LogisticNormal": dist.LogisticNormal(torch.zeros(2), torch.full((2,), 9.0)),
}


def dirichlet_slope(u, v):
    """Each piece of the stick is a beta variable, with log odds ``u - log(2)`` and ``v``."""
    first, second = mp.mpf(1) / (1 + 2 * mp.exp(-u)), mp.mpf(1) / (1 + mp.exp(-v))
    a, b, c = (mp.mpf(x) for x in SIMPLICES["Dirichlet"].concentration.tolist())
    return (a + b + c) * first - a, (b + c) * second - b


def relaxed_slope(u, v):
    """The energy is that of the density of Maddison et al. (2017), equation (22)."""
    t = mp.mpf(torch.tensor(0.2).item())

    def energy(u, v):
        first, left = -mp.log(1 + 2 * mp.exp(-u)), -mp.log(1 + mp.exp(u) / 2)
        second, third = left - mp.log(1 + mp.exp(-v)), left - mp.log(1 + mp.exp(v))
        total = mp.log(sum(mp.exp(-t * x) for x in (first, second, third)))
        density = -(t + 1) * (first + second + third) - 3 * total
        return -density - first - left - second - (third - left)

    return mp.diff(energy, (u, v), (1, 0)), mp.diff(energy, (u, v), (0, 1))


def normal_slope(u, v):
    return u / 81, v / 81


SLOPES = dict(zip(SIMPLICES, (dirichlet_slope, relaxed_slope, normal_slope), strict=True))


@pytest.mark.parametrize("name", SIMPLICES)
def test_slopes_on_a_simplex_are_exact_everywhere(name):
    for u, v in [(20.0, 0.0), (-110.0, 0.0), (0.0, -110.0), (100.0, 100.0), (-100.0, 30.0)]:
        with mpmath.workdps(DIGITS):
            exact = [float(x) for x in SLOPES[name](mp.mpf(u), mp.mpf(v))]
        _, slope = slope_of(lambda: sample("x", SIMPLICES[name]), x=torch.tensor([u, v]))
        assert_close(slope, torch.tensor(exact), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [dist.LKJCholesky, dist.LKJ], ids=["factor", "matrix"])
def test_slopes_of_correlations_are_exact_everywhere(make):
    """A pair has correlation ``tanh(u)`` and density ``cosh(u) ** (-2 * concentration)``."""
    for point in POINTS:
        u = torch.tensor([point])
        _, slope = slope_of(lambda: sample("x", make(2, torch.tensor(0.6))), x=u)
        assert_close(slope, 1.2 * u.tanh(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("point", [-100.0, -30.0, -5.0, 0.0, 2.0])
def test_slopes_of_covariances_are_exact_everywhere(point):
    """Bartlett (1933): the squared diagonal of the factor is chi-squared, the rest is normal."""
    fn = dist.Wishart(torch.tensor(3.5), torch.eye(2))
    u = torch.tensor([point, 0.7, point])
    _, slope = slope_of(lambda: sample("x", fn), x=u)
    square = torch.tensor(2 * point).exp()
    assert_close(slope, torch.stack([square - 3.5, u[1], square - 2.5]), rtol=1e-5, atol=1e-5)


FAR = -110.0  # exp(-110) is 0 in single precision
ALPHA = 0.25
WRAPPED = {
    "plain": (lambda d: sample("x", d.expand([3])), 1.0),
    "to_event": (lambda d: sample("x", d.expand([3]).to_event(1)), 1.0),
    "expanded": (lambda d: sample("x", dist.ExpandedDistribution(d, [3])), 1.0),
    "mask_true": (lambda d: sample("x", d.expand([3]).mask(True)), 1.0),
    "mask_false": (lambda d: sample("x", d.expand([3]).mask(False)), 0.0),
    "masked": (
        lambda d: sample("x", d.expand([3]).mask(torch.tensor([True, False, True]))),
        torch.tensor([1.0, 0.0, 1.0]),
    ),
    "scaled": (lambda d: in_plate(d), 1.5),
}


def in_plate(fn):
    with poutine.scale(scale=1.5), plate("rows", 3):
        sample("x", fn)


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("far", [FAR, -FAR])
def test_slopes_pass_through_what_wraps_a_distribution(name, far):
    """A Jacobian counts once whatever the weight of the density is."""
    model, weight = WRAPPED[name]
    fn = dist.Beta(torch.tensor(ALPHA), torch.tensor(ALPHA))
    _, slope = slope_of(lambda: model(fn), x=torch.full((3,), far))
    sign = 1.0 if far > 0 else -1.0
    assert_close(slope, sign * (weight * (ALPHA - 1) + torch.ones(3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("point", [-110.0, 3.0])
def test_slopes_hold_for_a_transform_that_was_given(point):
    u = torch.tensor(point)
    fn = dist.Gamma(torch.tensor(ALPHA), torch.tensor(1.0))
    for given, x in [(ExpTransform(), u.exp()), (SoftplusTransform(), u.exp().log1p())]:
        leaf = u.clone().requires_grad_()
        potential = ModelPotential(lambda: sample("x", fn), (), {}, {"x": given.inv})
        (slope,) = torch.autograd.grad(potential({"x": leaf}), leaf)
        log_slope = 1.0 if isinstance(given, ExpTransform) else (-u).sigmoid()
        ratio = 1.0 if isinstance(given, ExpTransform) else (u.sigmoid() / x if point > 0 else 1.0)
        assert_close(slope, -((ALPHA - 1) * ratio + log_slope) + x * ratio, rtol=1e-5, atol=1e-6)


class Bounded(dist.Gamma):
    """A density of its own."""

    def log_prob(self, value):
        return super().log_prob(value.clamp(min=1.0))


def test_a_subclass_with_a_density_of_its_own_keeps_it():
    fn = Bounded(torch.tensor(ALPHA), torch.tensor(1.0))
    _, slope = slope_of(lambda: sample("x", fn), x=torch.tensor(-3.0))
    assert_close(slope, torch.tensor(-1.0))


def test_the_rest_of_the_model_sees_the_constrained_value():
    seen = []

    def model():
        seen.append(sample("x", dist.Gamma(torch.tensor(ALPHA), 1.0)))

    slope_of(model, x=torch.tensor(1.0))
    assert_close(seen[0].detach(), torch.tensor(1.0).exp())


def test_recorded_slopes_are_the_ones_of_plain_execution():
    def model():
        sample("w", dist.Dirichlet(torch.full((4,), 0.1)))
        sample("x", dist.Beta(0.1, 0.1).expand([2]).to_event(1))

    like = {"w": torch.zeros(3), "x": torch.zeros(2)}
    potential = flat(ModelPotential(model, (), {}), Layout.of(like))
    position = torch.linspace(-110.0, 110.0, 20).reshape(4, 5)
    _, gradient = recorded_potential(potential, position)(position)
    for z, found in zip(position, gradient, strict=True):
        _, w, x = slope_of(model, w=z[:3], x=z[3:])
        assert_close(found, torch.cat([w, x]), rtol=1e-4, atol=1e-5)


POSTERIORS = {
    "Gamma": (lambda: dist.Gamma(0.01, 1.0), torch.tensor(FAR), stats.gamma(0.01), (0.65, 0.9)),
    "Beta": (lambda: dist.Beta(0.1, 0.1), torch.tensor(FAR), stats.beta(0.1, 0.1), (0.2, 0.5)),
    "Dirichlet": (
        lambda: dist.Dirichlet(torch.full((3,), 0.1)),
        torch.full((2,), FAR),
        stats.beta(0.1, 0.2),
        (0.3, 0.7),
    ),
}  # levels of quantiles that single precision does not round to 0 or 1


@pytest.mark.filterwarnings("ignore::ppl.errors.PPLWarning")  # of walls that trajectories hit
@pytest.mark.parametrize("name", POSTERIORS)
def test_chains_that_start_far_out_come_back(name):
    """Shares of draws below quantiles, with z under 4.5: a false alarm in 1e5 runs a quantile."""
    make, start, marginal, levels = POSTERIORS[name]
    torch.manual_seed(0)
    mcmc = MCMC(
        NUTS(lambda: sample("x", make())),
        1500,
        500,
        num_chains=4,
        initial_params={"x": start.expand(4, *start.shape)},
        disable_progbar=True,
    )
    mcmc.run()
    draws = mcmc.get_samples(group_by_chain=True)["x"].double()
    draws = draws[..., 0] if draws.dim() > 2 else draws
    for level in levels:
        below = (draws < marginal.ppf(level)).double()
        size = float(effective_sample_size(below))
        assert abs(float(below.mean()) - level) < 4.5 * (level * (1 - level) / size) ** 0.5
