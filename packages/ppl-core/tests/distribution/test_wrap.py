"""Distributions of strangers become ours."""

import copy
import pickle

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

from ppl import plugins
from ppl.distribution import Distribution, Independent, TorchDistributionMixin, wrap
from ppl.errors import DuplicatePluginError

from .families import Normal


class Tent(torch.distributions.Distribution):
    """A triangular density of a stranger who knows torch only, without ``expand``."""

    arg_constraints = {"width": constraints.positive}
    support = constraints.real

    def __init__(self, width):
        self.width = width
        super().__init__(width.shape, validate_args=False)

    def sample(self, sample_shape=torch.Size()):
        u = torch.rand((2,) + self._extended_shape(sample_shape))
        return self.width * (u[0] - u[1])

    def log_prob(self, value):
        return (1 - (value / self.width).abs()).log() - self.width.log()


FOREIGN = {
    "tent": lambda: Tent(torch.tensor([1.0, 2.0, 3.0])),
    "normal": lambda: torch.distributions.Normal(torch.zeros(3), 1.0),
    "gamma": lambda: torch.distributions.Gamma(torch.ones(3), 1.0),
    "bernoulli": lambda: torch.distributions.Bernoulli(torch.full((3,), 0.3)),
    "dirichlet": lambda: torch.distributions.Dirichlet(torch.ones(3, 2)),
    "transformed": lambda: torch.distributions.LogNormal(torch.zeros(3), 1.0),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_wrapped_distribution_is_ours_and_still_of_its_class(name):
    theirs = FOREIGN[name]()
    ours = wrap(theirs)
    assert isinstance(ours, Distribution) and isinstance(ours, type(theirs))
    assert not isinstance(theirs, Distribution)
    value = theirs.sample((4,))
    assert_close(ours.log_prob(value), theirs.log_prob(value))
    assert wrap(ours) is ours


@pytest.mark.parametrize("name", FOREIGN)
def test_a_wrapped_distribution_expands_masks_and_reshapes(name):
    ours = wrap(FOREIGN[name]())
    d = ours.expand((2, 3)).mask(torch.tensor([[True], [False]])).to_event(1)
    assert d.log_prob(d()).shape == (2,) and d.log_prob(d())[1] == 0
    assert isinstance(ours.expand((2, 3)), TorchDistributionMixin)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_wrapped_distribution_can_be_pickled_and_copied(name):
    ours = wrap(FOREIGN[name]())
    value = ours.sample()
    for twin in (pickle.loads(pickle.dumps(ours)), copy.copy(ours), copy.deepcopy(ours)):
        assert type(twin) is type(ours)
        assert_close(twin.log_prob(value), ours.log_prob(value))


def test_a_class_of_a_user_with_its_own_init_expands():
    class Around(torch.distributions.Normal):
        def __init__(self, loc):
            super().__init__(loc, 2.0)

    x = torch.randn(3, 1)
    for expanded in (wrap(Around(torch.tensor(1.0))).expand([3, 1]), wrap(Around(1.0)).expand([1])):
        assert_close(expanded.log_prob(x), torch.distributions.Normal(1.0, 2.0).log_prob(x))


def test_the_base_of_a_wrapped_independent_is_ours_too():
    theirs = torch.distributions.Independent(FOREIGN["normal"](), 1)
    ours = wrap(theirs)
    assert isinstance(ours, Independent) and isinstance(ours.base_dist, TorchDistributionMixin)
    assert ours.to_event(-1).batch_shape == (3,)


def test_what_is_no_distribution_is_refused_with_a_cure():
    with pytest.raises(TypeError, match=r"got float.*sample\(\)"):
        wrap(0.5)
    d = Normal(0.0, 1.0)
    assert wrap(d) is d


def test_a_quarrel_over_the_name_does_not_hinder(monkeypatch):
    class Poisson(torch.distributions.Poisson):
        pass

    def quarrel(group, name):
        raise DuplicatePluginError(name)

    monkeypatch.setattr(plugins, "load", quarrel)
    assert isinstance(wrap(Poisson(torch.ones(3))), Distribution)
