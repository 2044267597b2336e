"""A few distributions to try the interface on; core itself ships none but Delta and Unit."""

from __future__ import annotations

import torch
from torch.distributions import constraints

from ppl.distribution import TorchDistribution, TorchDistributionMixin


class Normal(torch.distributions.Normal, TorchDistributionMixin):
    pass


class Gamma(torch.distributions.Gamma, TorchDistributionMixin):
    pass


class Bernoulli(torch.distributions.Bernoulli, TorchDistributionMixin):
    pass


class Categorical(torch.distributions.Categorical, TorchDistributionMixin):
    pass


class Dirichlet(torch.distributions.Dirichlet, TorchDistributionMixin):
    pass


class MultivariateNormal(torch.distributions.MultivariateNormal, TorchDistributionMixin):
    pass


class Ring(TorchDistribution):
    """Uniform over a circle of the given radius, written without ``expand``."""

    has_rsample = True
    arg_constraints = {"radius": constraints.positive}
    support = constraints.real_vector

    def __init__(self, radius, validate_args=None):
        self.radius = radius
        super().__init__(radius.shape, torch.Size((2,)), validate_args=validate_args)

    def rsample(self, sample_shape=torch.Size()):
        x = torch.randn(self.shape(sample_shape), dtype=self.radius.dtype)
        return x / x.norm(dim=-1, keepdim=True) * self.radius.unsqueeze(-1)

    def log_prob(self, value):
        return -(2 * torch.pi * self.radius).log() - 0 * value.sum(-1)

    @property
    def mean(self):
        return self.radius.new_zeros(self.shape())

    @property
    def variance(self):
        return (0.5 * self.radius**2).unsqueeze(-1).expand(self.shape())


class Coin(Bernoulli):
    """A Bernoulli whose ``expand`` is the generic one."""

    expand = TorchDistributionMixin.expand


def every_family(batch=(3, 1), dtype=torch.float64):
    """Return one distribution of each kind, with the given batch shape."""
    ones = torch.ones(batch, dtype=dtype)
    steps = torch.arange(1.0, 1 + ones.numel(), dtype=dtype).reshape(batch)
    return {
        "normal": Normal(steps, ones),
        "gamma": Gamma(steps, ones),
        "bernoulli": Bernoulli(0.3 * ones),
        "categorical": Categorical(torch.stack([ones, steps, 2 * ones], -1)),
        "dirichlet": Dirichlet(torch.stack([ones, steps, 2 * ones], -1)),
        "mvn": MultivariateNormal(torch.stack([ones, steps], -1), torch.eye(2, dtype=dtype)),
        "ring": Ring(steps),
        "coin": Coin(0.3 * ones),
    }


FAMILIES = sorted(every_family())
