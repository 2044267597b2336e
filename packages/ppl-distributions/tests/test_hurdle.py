"""Draws that are not zero, and the two ways to give a gate."""

import pytest
import scipy.stats as st
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions.hurdle import sample_nonzero
from ppl.distributions.testing.statistics import assert_frequencies
from ppl.errors import ShapeError

COUNTS = {
    "rare Poisson": (dist.Poisson(1e-3), st.poisson(1e-3)),
    "Poisson": (dist.Poisson(3.0), st.poisson(3)),
    "rare negative binomial": (dist.NegativeBinomial(1e-3, 0.6), st.nbinom(1e-3, 0.4)),
    "negative binomial": (dist.NegativeBinomial(2.5, 0.8), st.nbinom(2.5, 0.2)),
    "geometric": (dist.Geometric(0.4), st.geom(0.4, -1)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_nonzero_draws_follow_the_truncated_law(name):
    torch.manual_seed(0)
    d, oracle = COUNTS[name]
    x = sample_nonzero(d, torch.Size([20_000]))
    assert (x >= 1).all()
    values = torch.arange(1, 200)
    probs = torch.as_tensor(oracle.pmf(values) / oracle.sf(0))
    assert_frequencies(torch.bincount(x.long(), minlength=200)[1:200].double(), probs, name)


def test_a_gate_may_be_given_as_log_odds():
    gate, x = torch.tensor([0.2, 0.7]), torch.tensor([0.0, 3.0])
    one = dist.HurdlePoisson(gate, 2.0)
    other = dist.HurdlePoisson(None, 2.0, gate_logits=gate.logit())
    assert_close(one.log_prob(x), other.log_prob(x))
    assert_close(one.gate_logits, other.gate_logits)
    assert_close(one.gate, other.gate)
    with pytest.raises(ValueError, match="exactly one"):
        dist.HurdlePoisson(0.5, 2.0, gate_logits=0.0)
    with pytest.raises(ValueError, match="exactly one"):
        dist.HurdlePoisson(None, 2.0)


def test_a_gate_may_follow_by_name():
    x = torch.tensor([0.0, 3.0])
    want = dist.HurdlePoisson(0.2, 2.0).log_prob(x)
    assert_close(dist.HurdlePoisson(2.0, gate=0.2).log_prob(x), want)
    assert_close(dist.Hurdle(dist.Poisson(2.0), gate=0.2).log_prob(x), want)


@pytest.mark.parametrize("family", [dist.HurdlePoisson, dist.ZeroInflatedPoisson])
def test_a_closed_gate_has_a_finite_gradient(family):
    """Both families ask one gate, which guards the slope of its logarithm."""
    gate = torch.tensor(0.0, requires_grad=True)
    log_prob = family(gate, 2.0).log_prob(torch.tensor([1.0, 2.0]))
    assert torch.autograd.grad(log_prob.sum(), gate)[0].isfinite()


@pytest.mark.parametrize("family", [dist.HurdlePoisson, dist.ZeroInflatedPoisson])
def test_a_gate_given_twice_is_refused(family):
    with pytest.raises(ValueError, match="exactly one"):
        family(0.5, 2.0, gate_logits=0.0)


def test_a_tiny_rate_leaves_the_nonzero_density_intact():
    """A Poisson that is rarely positive is then almost surely 1."""
    density = dist.HurdlePoisson(0.25, torch.tensor(1e-12)).log_prob(torch.tensor(1.0))
    assert_close(density.exp(), torch.tensor(0.75))


def test_a_vector_cannot_pass_a_hurdle():
    with pytest.raises(ShapeError, match="univariate"):
        dist.Hurdle(0.5, dist.Normal(torch.zeros(3), 1.0).to_event(1))
