"""Call forms of zero-inflated distributions, and closed gates."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import SiteError

GATE, RATE = torch.tensor([0.3, 0.6]), torch.tensor([2.0, 3.5])
COUNTS = torch.arange(5.0).unsqueeze(-1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: dist.ZeroInflatedDistribution(GATE, dist.Poisson(RATE)),
        lambda: dist.ZeroInflatedDistribution(dist.Poisson(RATE), gate=GATE),
        lambda: dist.ZeroInflatedDistribution(dist.Poisson(RATE), gate_logits=GATE.logit()),
        lambda: dist.ZeroInflatedDistribution(base_dist=dist.Poisson(RATE), gate=GATE),
        lambda: dist.ZeroInflatedPoisson(GATE, RATE),
        lambda: dist.ZeroInflatedPoisson(RATE, gate=GATE),
        lambda: dist.ZeroInflatedPoisson(rate=RATE, gate=GATE),
        lambda: dist.ZeroInflatedPoisson(RATE, gate_logits=GATE.logit()),
    ],
)
def test_all_call_forms_mean_the_same(make):
    want = torch.where(
        COUNTS == 0,
        GATE + (1 - GATE) * (-RATE).exp(),
        (1 - GATE) * dist.Poisson(RATE).log_prob(COUNTS).exp(),
    )
    assert_close(make().log_prob(COUNTS).exp(), want)
    assert_close(make().gate, GATE)


def test_negative_binomial_keeps_its_parameters():
    d = dist.ZeroInflatedNegativeBinomial(4.0, logits=torch.tensor(0.5), gate=0.2)
    assert d.total_count == 4 and d.logits == 0.5 and d.gate_logits == torch.tensor(0.2).logit()
    assert d.expand((3,)).probs.shape == d.expand((3,)).gate.shape == (3,)


def test_a_closed_gate_leaves_the_base_and_a_finite_gradient():
    gate = torch.tensor(0.0, requires_grad=True)
    log_prob = dist.ZeroInflatedPoisson(gate, 2000.0).log_prob(torch.tensor(0.0))
    assert log_prob == -2000
    assert torch.autograd.grad(log_prob, gate)[0].isfinite()


@pytest.mark.parametrize("gates", [{}, {"gate": GATE, "gate_logits": GATE}])
def test_one_gate_is_needed(gates):
    with pytest.raises(SiteError, match="exactly one of gate and gate_logits"):
        dist.ZeroInflatedDistribution(base_dist=dist.Poisson(RATE), **{"gate": None, **gates})


def test_a_base_over_vectors_is_refused():
    with pytest.raises(SiteError, match=r"event_shape \(2,\)"):
        dist.ZeroInflatedDistribution(GATE, dist.Poisson(RATE).to_event(1))
