"""Products of transition matrices, against one step after another in logarithms."""

import pytest
import torch
from torch.func import vmap
from torch.testing import assert_close

from ppl.ops import markov_chain
from ppl.ops.markov_chain import log_chain

LENGTHS = [1, 2, 3, 64, 67, 130]


def one_after_another(moves, likelihood):
    """Return the same product as a loop of sums of exponentials."""
    steps = moves + likelihood.unsqueeze(-2)
    total = steps[..., 0, :, :]
    for step in steps.unbind(-3)[1:]:
        total = torch.logsumexp(total.unsqueeze(-1) + step.unsqueeze(-3), -2)
    return total


def chain(length, batch=(), moving=True, sharpness=1.0, dtype=torch.float64):
    """Return logits of transitions and log likelihoods that differ by about ``sharpness``."""
    torch.manual_seed(0)
    moves = torch.randn(*((length,) if moving else ()), 3, 3).to(dtype).log_softmax(-1)
    return moves, sharpness * torch.randn(*batch, length, 3).to(dtype)


@pytest.fixture
def no_logarithms(monkeypatch):
    """Make products of logarithms fail, which positive matrices do without."""
    monkeypatch.delattr(markov_chain, "log_matmul_exp")


@pytest.mark.usefixtures("no_logarithms")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("moving", [True, False])
def test_positive_matrices_are_multiplied_as_they_are(length, batch, moving):
    moves, likelihood = chain(length, batch, moving)
    assert_close(log_chain(moves, likelihood), one_after_another(moves, likelihood))


@pytest.mark.usefixtures("no_logarithms")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_likelihood_is_too_sharp(dtype):
    moves, likelihood = chain(130, sharpness=1e4, dtype=dtype)
    assert_close(log_chain(moves, likelihood), one_after_another(moves, likelihood))


@pytest.mark.usefixtures("no_logarithms")
@pytest.mark.parametrize("weight", [1e-6, 1.0], ids=["shrinking", "growing"])
def test_products_that_leave_the_range_are_scaled(weight):
    """Of matrices whose rows add up to far less or more than one."""
    moves, likelihood = chain(130, sharpness=0.1, dtype=torch.float32)
    moves = moves.new_tensor(weight).log() - 0.1 * torch.rand_like(moves)
    assert_close(log_chain(moves, likelihood), one_after_another(moves, likelihood))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight", [-60.0, -500.0, -torch.inf])
def test_what_a_product_would_lose_is_found(dtype, weight):
    """Leaving a state is next to impossible, staying unlikely in hindsight."""
    moves = torch.full((2, 2), weight, dtype=dtype).fill_diagonal_(0.0)
    likelihood = torch.zeros(9, 2, dtype=dtype)
    likelihood[1::2, 0], likelihood[::2, 1] = -90.0, -90.0
    assert_close(log_chain(moves, likelihood), one_after_another(moves, likelihood))


def test_gradients_are_those_of_the_loop():
    inputs = [x.requires_grad_() for x in chain(67, (2,))]
    got = torch.autograd.grad(log_chain(*inputs).sum(), inputs)
    assert_close(got, torch.autograd.grad(one_after_another(*inputs).sum(), inputs))


def test_vectorized_chains_equal_eager_ones():
    moves, likelihood = chain(67, (2,))
    assert_close(vmap(lambda x: log_chain(moves, x))(likelihood), log_chain(moves, likelihood))


@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
def test_an_impossible_step_makes_all_impossible_and_nan_spreads(value):
    moves, likelihood = chain(9)
    likelihood[4] = value
    assert_close(log_chain(moves, likelihood), torch.full((3, 3), value).double(), equal_nan=True)


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_the_more_precise_type_counts(dtypes):
    moves, likelihood = (x.to(dtype) for x, dtype in zip(chain(9), dtypes, strict=True))
    assert_close(log_chain(moves, likelihood), one_after_another(moves, likelihood))


def test_no_series_have_no_chains():
    moves, likelihood = chain(9, (0,))
    assert log_chain(moves, likelihood).shape == (0, 3, 3)
