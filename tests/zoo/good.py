"""Good models, with and without guides: a check has nothing to say about them."""

from __future__ import annotations

import math

import torch
from torch.distributions import constraints

import ppl
import ppl.distributions as dist
from ppl.contrib.flows import affine_coupling
from ppl.infer.autoguide import AutoDelta, AutoNormal
from ppl.nn import PyroModule, PyroParam, PyroSample

from ..posteriors.eight_schools import CENTERED, NONCENTERED
from ..posteriors.kidiq import KIDIQ
from ..posteriors.radon import RADON
from ..posteriors.wells import WELLS
from .entry import Entry, Exhibition

shown = Exhibition()
X = torch.linspace(-1.0, 1.0, 12)
Y = torch.sin(3 * X)
POSTERIORS = (CENTERED, NONCENTERED, KIDIQ, RADON, WELLS)


@shown()
class Conjugate:
    @staticmethod
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        with ppl.plate("data", 12):
            ppl.sample("y", dist.Normal(mean, 1.0), obs=Y)

    @staticmethod
    def guide():
        scale = ppl.param("scale", torch.tensor(0.5), constraints.positive)
        ppl.sample("mean", dist.Normal(ppl.param("loc", torch.tensor(0.0)), scale))


@shown()
class Subsampled:
    @staticmethod
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        with ppl.plate("data", 12, subsample_size=5) as index:
            z = ppl.sample("z", dist.Normal(mean, 1.0))
            ppl.sample("y", dist.Normal(z, 1.0), obs=Y[index])

    @staticmethod
    def guide():
        ppl.sample("mean", dist.Normal(ppl.param("loc", torch.tensor(0.0)), 1.0))
        with ppl.plate("data", 12, subsample_size=5):
            locs = ppl.param("locs", torch.zeros(12), event_dim=0)
            ppl.sample("z", dist.Normal(locs, 1.0))


@shown()
class ScoreFunction:
    @staticmethod
    def model():
        k = ppl.sample("k", dist.Bernoulli(0.5))
        ppl.sample("y", dist.Normal(k, 1.0), obs=torch.tensor(0.8))

    @staticmethod
    def guide():
        ppl.sample("k", dist.Bernoulli(logits=ppl.param("logit", torch.tensor(0.0))))


@shown()
class AuxiliarySiteInTheGuide:
    @staticmethod
    def model():
        scale = ppl.sample("scale", dist.LogNormal(0.0, 1.0))
        ppl.sample("y", dist.Normal(0.0, scale), obs=torch.tensor(0.8))

    @staticmethod
    def guide():
        fn = dist.Normal(ppl.param("loc", torch.tensor(0.0)), 0.1)
        free = ppl.sample("free", fn, infer={"is_auxiliary": True})
        ppl.factor("jacobian", -free, has_rsample=True)
        ppl.sample("scale", dist.Delta(free.exp()))


@shown()
class MaximumAPosteriori:
    @staticmethod
    def model():
        weights = ppl.sample("weights", dist.Dirichlet(torch.ones(3)))
        with ppl.plate("data", 4):
            ppl.sample("y", dist.Categorical(weights), obs=torch.tensor([0, 2, 2, 1]))

    @staticmethod
    def guide():
        point = ppl.param("point", torch.ones(3) / 3, constraints.simplex)
        ppl.sample("weights", dist.Delta(point, event_dim=1))


@shown()
class EnumeratedMixture:
    @staticmethod
    def model():
        with ppl.plate("components", 2):
            locs = ppl.sample("locs", dist.Normal(0.0, 3.0))
        with ppl.plate("data", 12):
            fn = dist.Categorical(torch.ones(2) / 2)
            k = ppl.sample("k", fn, infer={"enumerate": "parallel"})
            ppl.sample("y", dist.Normal(locs[k], 1.0), obs=Y)

    @staticmethod
    def guide():
        with ppl.plate("components", 2):
            ppl.sample("locs", dist.Normal(ppl.param("loc", torch.zeros(2)), 1.0))


@shown()
class AmortizedInference:
    @staticmethod
    def model():
        decoder = ppl.module("autoencoder", AUTOENCODER)["decoder"]
        with ppl.plate("data", 12):
            z = ppl.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            ppl.sample("y", dist.Normal(decoder(z).squeeze(-1), 0.3), obs=Y)

    @staticmethod
    def guide():
        encoder = ppl.module("autoencoder", AUTOENCODER)["encoder"]
        with ppl.plate("data", 12):
            ppl.sample("z", dist.Normal(encoder(Y.unsqueeze(-1)), 1.0).to_event(1))


AUTOENCODER = torch.nn.ModuleDict(
    {"decoder": torch.nn.Linear(2, 1), "encoder": torch.nn.Linear(1, 2)}
)


def correlated_model():
    z = ppl.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ppl.sample("y", dist.Normal(z.sum(), 1.0), obs=torch.tensor(0.8))


@shown()
class FlowGuide:
    model = staticmethod(correlated_model)

    @staticmethod
    def guide():
        ppl.module("flow", FLOW)
        base = dist.Normal(torch.zeros(2), 1.0).to_event(1)
        ppl.sample("z", dist.TransformedDistribution(base, [FLOW]))


FLOW = affine_coupling(2, [8])


@shown()
class FullCovarianceGuide:
    model = staticmethod(correlated_model)

    @staticmethod
    def guide():
        scale_tril = ppl.param("scale_tril", torch.eye(2), constraints.lower_cholesky)
        loc = ppl.param("loc", torch.zeros(2))
        ppl.sample("z", dist.MultivariateNormal(loc, scale_tril=scale_tril))


@shown(algorithm="TraceMeanField_ELBO")
class MeanField:
    model = staticmethod(correlated_model)

    @staticmethod
    def guide():
        ppl.sample("z", dist.Normal(ppl.param("loc", torch.zeros(2)), 1.0).to_event(1))


@shown(algorithm="NUTS")
def gaussian_process():
    length = ppl.sample("length", dist.LogNormal(0.0, 0.5))
    gram = torch.exp(-0.5 * ((X - X.unsqueeze(-1)) / length) ** 2) + 0.1 * torch.eye(12)
    ppl.sample("y", dist.MultivariateNormal(torch.zeros(12), gram), obs=Y)


@shown(algorithm="NUTS")
def summed_out_mixture():
    weights = ppl.sample("weights", dist.Dirichlet(torch.ones(2)))
    locs = ppl.sample("locs", dist.Normal(torch.zeros(2), 3.0).to_event(1))
    with ppl.plate("data", 12):
        fn = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(locs, 1.0))
        ppl.sample("y", fn, obs=Y)


@shown(algorithm="NUTS")
def marked_for_enumeration():
    k = ppl.sample("k", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    mean = ppl.sample("mean", dist.Normal(k, 1.0))
    ppl.sample("y", dist.Normal(mean, 1.0), obs=torch.tensor(0.8))


@shown(algorithm="NUTS")
def missing_data_masked():
    data = torch.tensor([0.1, math.nan, -0.4])
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 3), ppl.poutine.mask(mask=data.isfinite()):
        ppl.sample("y", dist.Normal(mean, 1.0), obs=data.nan_to_num())


@shown(algorithm="NUTS")
def missing_data_masked_in_the_distribution():
    data = torch.tensor([0.1, math.nan, -0.4])
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 3):
        ppl.sample("y", dist.Normal(mean, 1.0).mask(data.isfinite()), obs=data)


@shown(algorithm="NUTS")
def poisson_regression():
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 12):
        ppl.sample("counts", dist.Poisson((slope * X).exp()), obs=torch.arange(12))


@shown(algorithm="NUTS")
def correlated_effects():
    scales = ppl.sample("scales", dist.HalfCauchy(torch.ones(3)).to_event(1))
    factor = ppl.sample("factor", dist.LKJCholesky(3, 2.0))
    with ppl.plate("groups", 4):
        fn = dist.MultivariateNormal(torch.zeros(3), scale_tril=scales.unsqueeze(-1) * factor)
        ppl.sample("effects", fn)


@shown(algorithm="NUTS")
def crossed_plates():
    rows, columns = ppl.plate("rows", 3, dim=-2), ppl.plate("columns", 4, dim=-1)
    with rows:
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with columns:
        b = ppl.sample("b", dist.Normal(0.0, 1.0))
    with rows, columns:
        ppl.sample("y", dist.Normal(a + b, 1.0), obs=Y.reshape(3, 4))


@shown(algorithm="NUTS")
def loop_over_a_plate():
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    for i in ppl.plate("data", 12):
        ppl.sample(f"y{i}", dist.Normal(mean, 1.0), obs=Y[i])


@shown(algorithm="NUTS")
def data_whose_support_depends_on_a_site():
    width = ppl.sample("width", dist.Gamma(2.0, 1.0))
    with ppl.plate("data", 12):
        ppl.sample("y", dist.Uniform(-2.0 - width, 2.0 + width), obs=Y)


@shown()
def maximum_likelihood():
    loc = ppl.param("loc", torch.tensor(0.0))
    scale = ppl.param("scale", torch.tensor(1.0), constraints.positive)
    with ppl.plate("data", 12):
        ppl.sample("y", dist.Normal(loc, scale), obs=Y)


@shown(algorithm="NUTS")
def potential_as_a_factor():
    x = ppl.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ppl.factor("well", -(((x**2).sum() - 1.0) ** 2))
    ppl.deterministic("radius", x.norm())


@shown(algorithm="NUTS", args=(X,), kwargs={"guide": 2.0})
def argument_named_like_one_of_ours(model, guide):
    slope = ppl.sample("slope", dist.Normal(0.0, guide))
    with ppl.plate("data", 12):
        ppl.sample("y", dist.Normal(slope * model, 1.0), obs=Y)


@shown(algorithm="NUTS")
@ppl.poutine.condition(data={"mean": torch.tensor(0.5)})
def conditioned():
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    ppl.sample("x", dist.Normal(mean, 1.0))


class Regression(PyroModule):
    """A linear regression with random weights and a learnable scale."""

    def __init__(self):
        super().__init__()
        self.linear = PyroModule[torch.nn.Linear](1, 1)
        self.linear.weight = PyroSample(dist.Normal(torch.zeros(1, 1), 1.0).to_event(2))
        self.linear.bias = PyroSample(dist.Normal(torch.zeros(1), 1.0).to_event(1))
        self.scale = PyroParam(torch.tensor(0.5), constraints.positive)

    def forward(self):
        mean = self.linear(X.unsqueeze(-1)).squeeze(-1)
        with ppl.plate("data", 12):
            return ppl.sample("y", dist.Normal(mean, self.scale), obs=Y)


REGRESSION = Regression()


def plates_of_effects():
    scale = ppl.sample("scale", dist.HalfNormal(1.0))
    with ppl.plate("groups", 3):
        effects = ppl.sample("effects", dist.Normal(torch.zeros(2), scale).to_event(1))
    with ppl.plate("data", 12):
        ppl.sample("y", dist.Normal(effects.sum(), 1.0), obs=Y)


GOOD = [
    *shown.entries,
    *[
        Entry(
            f"{posterior} under NUTS", posterior.model, algorithm="NUTS", kwargs=posterior.arguments
        )
        for posterior in POSTERIORS
    ],
    *[
        Entry(f"{p} with AutoNormal", p.model, AutoNormal(p.model), kwargs=p.arguments)
        for p in POSTERIORS
    ],
    Entry("PyroModule", REGRESSION, algorithm="NUTS"),
    Entry("PyroModule with AutoNormal", REGRESSION, AutoNormal(REGRESSION)),
    Entry("AutoNormal in plates", plates_of_effects, AutoNormal(plates_of_effects)),
    Entry("AutoDelta", plates_of_effects, AutoDelta(plates_of_effects)),
    Entry("AutoNormal with subsamples", Subsampled.model, AutoNormal(Subsampled.model)),
]
