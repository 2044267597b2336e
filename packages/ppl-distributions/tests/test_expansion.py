"""Expansion: of constants that cost, and of classes that users write."""

import pickle

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ppl as pyro
import ppl.distributions as dist
from ppl.distributions.testing import fakes

ANGLES = torch.tensor([0.3, -0.5, 0.6, 0.8, 0.3])
LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

COSTLY = {
    "SineBivariateVonMises": lambda: dist.SineBivariateVonMises(*ANGLES),
    "SineSkewed": lambda: dist.SineSkewed(
        dist.SineBivariateVonMises(*ANGLES), torch.tensor([0.1, 0.2])
    ),
    "OneOneMatching": lambda: dist.OneOneMatching(LOGITS[:3]),
    "OneTwoMatching": lambda: dist.OneTwoMatching(LOGITS),
    "OneTwoMatching_approximate": lambda: dist.OneTwoMatching(LOGITS, bp_iters=5),
    "SpanningTree": lambda: dist.SpanningTree(LOGITS[:5, :2].flatten()),
    "MultivariateNormal": lambda: dist.MultivariateNormal(torch.zeros(9), torch.eye(9)),
    "LowRankMultivariateNormal": lambda: dist.LowRankMultivariateNormal(
        torch.zeros(9), torch.ones(9, 1), torch.ones(9)
    ),
    "CAR": lambda: dist.CAR(torch.zeros(3), 0.5, 1.0, 1.0 - torch.eye(3)),
}


class Elements(TorchDispatchMode):
    """Counts the elements of all tensors that torch makes."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.total += sum(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))
        return result


@pytest.mark.parametrize("name", COSTLY)
def test_expansion_does_not_multiply_the_cost_of_a_constant(name):
    """A plate over observations changes nothing about a constant of the parameters."""
    d = COSTLY[name]()
    exact = COSTLY[name.removesuffix("_approximate")]()
    value = exact.sample((50,))
    with Elements() as plain:
        want = d.log_prob(value)
    wide = d.expand((50,)).expand((50,))
    with Elements() as expanded:
        got = wide.log_prob(value)
    assert_close(got, want)
    assert expanded.total <= 3 * plain.total
    assert_close(pickle.loads(pickle.dumps(wide)).log_prob(value), want)


class MyBeta(dist.Beta):
    """A family with arguments of its own."""

    def __init__(self, a, b, note=None):
        super().__init__(a, b)
        self.note = note


class Folded(dist.FoldedDistribution):
    """A half-normal distribution."""

    def __init__(self, loc):
        super().__init__(dist.Normal(loc, 1.0))


class Skewed(dist.LogNormal):
    """A log-normal distribution by its median."""

    def __init__(self, median):
        super().__init__(median.log(), 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MyBeta(torch.tensor(2.0), torch.tensor(3.0)),
        lambda: Folded(torch.tensor(0.0)),
        lambda: Skewed(torch.tensor(2.0)),
    ],
)
def test_a_subclass_with_its_own_init_can_be_expanded(make):
    """Torch refuses what it cannot copy; the general expansion can wrap every distribution."""
    d = make()
    value = d.sample((4,))
    for wide in (d.expand_by((4,)), d.expand((4,))):
        assert wide.batch_shape == (4,) and wide.sample().shape == (4,)
        assert_close(wide.log_prob(value), d.log_prob(value))
    with pyro.plate("data", 3):
        assert pyro.sample("x", make()).shape == (3,)


@pytest.mark.parametrize(
    "d",
    [
        fakes.NonreparameterizedBeta(2.0, 3.0),
        fakes.NonreparameterizedDirichlet(torch.ones(3)),
        fakes.NonreparameterizedGamma(2.0, 3.0),
        fakes.NonreparameterizedNormal(0.0, 1.0),
    ],
)
def test_fakes_have_no_reparameterized_sampler(d):
    assert not d.has_rsample and not d.expand((2,)).has_rsample
    assert type(d.expand((2,))) is type(d)
