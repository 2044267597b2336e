"""Relaxed categories and logistic normals where coordinates are 0, and next to there."""

import math

import mpmath as mp
import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ShapeError

TEMPERATURES = [0.05, 0.5, 1.0, 2.0, 30.0]


def reference(x, weights, temperature):
    """The closed form of Maddison et al. 2017, in so many digits that nothing cancels."""
    with mp.workdps(400):
        x, a, t = [mp.mpf(float(v)) for v in x], [mp.mpf(float(v)) for v in weights], temperature
        t, n = mp.mpf(float(t)), len(x)
        total = mp.fsum(w * v**-t for w, v in zip(a, x, strict=True))
        terms = mp.fsum(mp.log(w) - (t + 1) * mp.log(v) for w, v in zip(a, x, strict=True))
        return float(mp.loggamma(n) + (n - 1) * mp.log(t) + terms - n * mp.log(total))


def relaxed(temperature, weights, dtype=torch.float32):
    probs = torch.as_tensor(weights, dtype=dtype)
    return dist.RelaxedOneHotCategorical(
        torch.tensor(temperature, dtype=dtype), probs / probs.sum()
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(
    "x", [(0.2, 0.3, 0.5), (1e-30, 0.5, 0.5), (1e-38, 1e-30, 1.0), (1 - 2e-7, 1e-7, 1e-7)]
)
def test_single_precision_keeps_the_density_up_to_the_border(temperature, x):
    x, weights = torch.tensor(x), torch.tensor([0.25, 0.25, 0.5])
    want = reference(x, weights, torch.tensor(temperature))
    got = relaxed(temperature, weights).log_prob(x).item()
    assert got == pytest.approx(want, rel=3e-6, abs=3e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("logits", [(0.0, 0.0, 0.0), (0.0, 30.0, -30.0), (90.0, 0.0, 0.0)])
def test_draws_lie_on_the_simplex_and_have_a_density(temperature, logits):
    torch.manual_seed(0)
    family = dist.RelaxedOneHotCategorical(torch.tensor(temperature), logits=torch.tensor(logits))
    draws = family.sample((5000,))
    assert family.support.check(draws).all() and (draws > 0).all()
    assert family.log_prob(draws).isfinite().all()


@pytest.mark.parametrize("zeros", [[0], [2], [0, 1], [0, 1, 2]])
@pytest.mark.parametrize("temperature", [0.2, 1 / 3, 0.7, 1.0, 3.0, 4.0])
def test_on_the_border_the_density_is_its_limit_from_the_inside(zeros, temperature):
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    x = torch.tensor([0.25, 0.35, 0.15, 0.25], dtype=torch.float64)
    x[zeros] = 0.0
    x = x / x.sum()
    got = relaxed(temperature, weights, torch.float64).log_prob(x).item()
    exponent = temperature * (4 - len(zeros)) - len(zeros)
    near = x.clone()
    near[zeros] = 1e-200
    if abs(exponent) < 1e-9:
        assert got == pytest.approx(reference(near, weights, temperature), abs=1e-6)
    else:
        assert got == math.copysign(math.inf, -exponent)
        assert math.copysign(1.0, reference(near, weights, temperature)) == math.copysign(1.0, got)


def test_a_row_on_the_border_leaves_the_gradients_of_others_alone():
    logits = torch.zeros(3, 3, requires_grad=True)
    x = torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    family = dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=logits)
    family.log_prob(x).sum().backward()
    alone = torch.zeros(3, requires_grad=True)
    dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=alone).log_prob(x[0]).backward()
    assert logits.grad.isfinite().all()
    assert_close(logits.grad[0], alone.grad)


def test_a_temperature_for_each_row():
    x, t = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.5, 2.0])
    rows = dist.RelaxedOneHotCategorical(t.unsqueeze(-1), logits=torch.zeros(2, 3)).log_prob(x)
    each = [relaxed(float(rate), [1.0, 1.0, 1.0]).log_prob(x) for rate in t]
    assert_close(rows, torch.stack(each))
    with pytest.raises(ShapeError, match="temperature"):
        dist.RelaxedOneHotCategorical(t, logits=torch.zeros(2, 3))


@pytest.mark.parametrize("x", [(0.0, 0.5, 0.5), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0)])
def test_a_logistic_normal_vanishes_on_the_border(x):
    loc = torch.zeros(2, requires_grad=True)
    rows = torch.stack([torch.tensor(x), torch.full((3,), 1 / 3)])
    density = dist.LogisticNormal(loc, torch.ones(2)).log_prob(rows)
    assert density[0] == -math.inf and density[1].isfinite()
    density[1].backward()
    assert loc.grad.isfinite().all()
