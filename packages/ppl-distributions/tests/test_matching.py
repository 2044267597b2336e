"""Random matchings: exact, by belief propagation, and their modes."""

import math

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ppl.distributions as dist
from ppl.distributions.bethe import log_bethe_matchings
from ppl.distributions.permanent import log_permanent
from ppl.errors import ShapeError
from ppl.validation import validation_enabled


def log_bethe_permanent(x, iterations):
    return log_bethe_matchings(x, 1, iterations)


def logits(*shape, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_the_permanent_of_ones_is_a_factorial(n):
    want = torch.full((3,), math.lgamma(n + 1), dtype=torch.float64)
    assert_close(log_permanent(torch.zeros(3, n, n, dtype=torch.float64)), want)


def test_the_gradient_of_the_partition_function_is_the_law_of_pairs():
    x = logits(4, 4).requires_grad_()
    d = dist.OneOneMatching(x)
    (gradient,) = torch.autograd.grad(d.log_partition_function, x)
    values = d.enumerate_support()
    pairs = torch.nn.functional.one_hot(values, 4).double()
    want = (d.log_prob(values).exp()[:, None, None] * pairs).sum(0)
    assert_close(gradient, want.detach())


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_the_bethe_permanent_is_a_lower_bound_and_not_far_off(spread):
    """Gurvits (2011) and Anari and Rezaei (2019): within a factor of ``sqrt(2) ** n``."""
    x = logits(50, 6, 6, spread=spread)
    exact, bethe = log_permanent(x), log_bethe_permanent(x, 500)
    assert (bethe <= exact + 1e-6).all() and (bethe >= exact - 3 * math.log(2) - 1e-6).all()


def test_the_gradient_of_the_bethe_permanent_is_that_of_its_maximum():
    x = logits(5, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(log_bethe_permanent(x, 200), x)
    assert_close(gradient.sum(-1), torch.ones(5, dtype=torch.float64))
    step = 1e-4 * logits(5, 5, seed=1)
    slope = (log_bethe_permanent(x + step, 200) - log_bethe_permanent(x - step, 200)) / 2
    assert_close((gradient * step).sum(), slope.detach(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("family", [dist.OneOneMatching, dist.OneTwoMatching])
def test_the_mode_is_the_most_likely_of_all(family):
    x = logits(3, 4 * family.capacity, 4, spread=2.0)
    d = family(x)
    values = d.enumerate_support()
    best = d.log_prob(values).max(0)
    assert_close(d.log_prob(d.mode()), best.values)
    assert d.support.check(d.mode()).all()
    assert len(values) == math.factorial(4 * family.capacity) // family.capacity**4


def test_large_matchings_are_scored_by_belief_propagation():
    x = logits(40, 40)
    with pytest.raises(ShapeError, match="bp_iters"):
        dist.OneOneMatching(x).log_prob(torch.arange(40))
    d = dist.OneOneMatching(x, bp_iters=20)
    assert d.log_prob(d.mode()) > d.log_prob(torch.arange(40))
    with pytest.raises(NotImplementedError, match="bp_iters"):
        d.sample()


def test_a_forbidden_pair_has_no_probability_and_finite_gradients():
    x = logits(4, 4)
    x[0, 1] = -math.inf
    x.requires_grad_()
    d = dist.OneOneMatching(x, validate_args=False)
    values = d.enumerate_support()
    log_prob = d.log_prob(values)
    assert_close(log_prob.exp().sum(), torch.ones((), dtype=torch.float64))
    assert (log_prob[values[:, 0] == 1] == -math.inf).all()
    (gradient,) = torch.autograd.grad(log_prob[values[:, 0] == 0].sum(), x)
    assert gradient.isfinite().all()


def test_values_that_are_no_assignment_and_wrong_shapes_are_refused():
    with validation_enabled(), pytest.raises(ValueError, match="support"):
        dist.OneOneMatching(logits(3, 3)).log_prob(torch.tensor([0, 0, 1]))
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        dist.OneOneMatching(logits(3, 4))
    with pytest.raises(ShapeError, match=r"2 source\(s\)"):
        dist.OneTwoMatching(logits(3, 3))


FAMILIES = [dist.OneOneMatching, dist.OneTwoMatching]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_belief_propagation_is_exact_where_one_matching_has_all_weight(family, n):
    """The limit that shows every counting factor of an approximation."""
    destination = torch.arange(n).repeat_interleave(family.capacity)
    x = 50.0 * torch.nn.functional.one_hot(destination, n)
    want = torch.tensor(50.0 * family.capacity * n)
    assert_close(family(x, bp_iters=50).log_partition_function, want, rtol=0, atol=0.01)


@pytest.mark.parametrize("family,error", [(dist.OneOneMatching, 0.5), (dist.OneTwoMatching, 0.5)])
def test_belief_propagation_is_close_on_average(family, error):
    x = logits(20, 3 * family.capacity, 3, spread=10.0)
    exact, bethe = (family(x, bp_iters=n).log_partition_function for n in (None, 50))
    assert (exact - bethe).abs().mean() < error


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_belief_propagation_are_probabilities_of_pairs(family):
    x = logits(3 * family.capacity, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(family(x, bp_iters=200).log_partition_function, x)
    assert_close(gradient.sum(-1), torch.ones(len(x), dtype=torch.float64))
    step = 1e-4 * logits(*x.shape, seed=1)
    up, down = (family(x + s, bp_iters=200).log_partition_function for s in (step, -step))
    assert_close((gradient * step).sum(), (up - down).detach() / 2, rtol=1e-4, atol=1e-9)


class LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that torch made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return result


@pytest.mark.parametrize("family", FAMILIES)
def test_belief_propagation_keeps_one_message_for_each_pair(family):
    x = logits(20 * family.capacity, 20)
    with LargestTensor() as largest:
        family(x, bp_iters=3).log_partition_function.isfinite()
    assert largest.numel <= 4 * x.numel()
