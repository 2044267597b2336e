"""Draws of angles, at any concentration and under any transformation."""

import math

import pytest
import torch
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

import ppl.distributions as dist
from ppl.distributions.rejection import first_accepted
from ppl.distributions.testing.statistics import assert_zero_mean


@pytest.mark.parametrize("kappa", [1e-12, 1e-3, 0.5, 3.0, 100.0, 1e4, 1e10])
def test_draws_have_the_resultant_length_of_their_concentration(kappa):
    torch.manual_seed(0)
    kappa = torch.tensor(kappa, dtype=torch.float64)
    loc = torch.tensor(3.0, dtype=torch.float64)
    x = dist.VonMises(loc, kappa).sample((20_000,))
    assert (x >= -math.pi).all() and (x < math.pi).all()
    versine = 2 * ((x - loc) / 2).sin().square()  # 1 - cos, with all its digits
    mean = torch.where(
        kappa > 1e3,
        1 / (2 * kappa) + 1 / (8 * kappa**2),
        1 - torch.special.i1e(kappa) / torch.special.i0e(kappa),
    )
    assert_zero_mean(versine - mean, "1 - cos")
    assert_zero_mean((x - loc).sin(), "sin")


def test_draws_keep_single_precision():
    x = dist.VonMises(torch.zeros(3), torch.ones(3)).sample((5,))
    assert x.dtype == torch.float32 and x.shape == (5, 3)


def test_draws_can_be_vectorized_and_recorded():
    torch.manual_seed(0)

    def draw(loc):
        return dist.VonMises(loc, torch.ones_like(loc), validate_args=False).sample()

    loc = torch.zeros(4000, dtype=torch.float64)
    for x in (vmap(draw, randomness="different")(loc), make_fx(draw)(loc)(loc)):
        assert_zero_mean(x.cos() - torch.special.i1(loc + 1) / torch.special.i0(loc + 1), "cos")
        assert x.unique().numel() == 4000


def test_the_first_accepted_proposal_is_kept_and_rounds_end_early():
    proposals = iter([([1.0, 1.0], [True, False]), ([2.0, 2.0], [True, True]), None])

    def propose():
        value, accepted = next(proposals)
        return torch.tensor(value), torch.tensor(accepted)

    assert first_accepted(propose, 10).tolist() == [1.0, 2.0]
    assert next(proposals) is None
