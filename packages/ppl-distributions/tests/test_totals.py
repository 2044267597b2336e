"""Rows of counts with their own totals are those distributions side by side."""

import math

import pytest
import torch
from scipy.stats import binom, multinomial

import ppl.distributions as dist

TOTALS = torch.tensor([0, 3, 8])
PROBS = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def test_multinomial_of_several_totals_is_one_of_each():
    d = dist.Multinomial(TOTALS, PROBS)
    value = d.sample((5,))
    assert torch.equal(value.sum(-1), TOTALS.double().expand(5, 3))
    singles = [dist.Multinomial(int(n), PROBS) for n in TOTALS]
    for name in ("mean", "variance"):
        want = torch.stack([getattr(single, name) for single in singles])
        assert torch.equal(getattr(d, name), want)
    want = [float(multinomial(int(n), PROBS.numpy()).entropy()) for n in TOTALS]
    torch.testing.assert_close(d.entropy(), torch.tensor(want, dtype=torch.float64))
    for i, single in enumerate(singles):
        torch.testing.assert_close(d.log_prob(value)[:, i], single.log_prob(value[:, i]))


def test_multinomial_of_several_totals_draws_with_its_moments():
    torch.manual_seed(0)
    d = dist.Multinomial(TOTALS, PROBS)
    error = (d.variance / 20000).sqrt().clamp(min=1e-12)
    z = (d.sample((20000,)).mean(0) - d.mean) / error
    assert z.abs().max() < 5.5  # one false alarm in a million seeds


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_totals_expand_with_their_rows(shape):
    d = dist.Multinomial(TOTALS, PROBS).expand(shape)
    assert d.sample().sum(-1).shape == shape
    assert d.entropy().shape == shape
    assert torch.isfinite(dist.Multinomial(4, PROBS).expand(shape).entropy()).all()


def test_a_row_of_another_total_is_refused_with_what_to_write():
    with pytest.raises(ValueError, match=r"total_count=value.sum\(-1\)"):
        dist.Multinomial(torch.tensor([3]), PROBS).log_prob(torch.tensor([1.0, 1.0, 0.0]))


def test_a_number_bounds_the_totals_of_rows_and_each_is_scored_by_its_own():
    value = torch.tensor([[1.0, 1.0, 0.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    own = dist.Multinomial(value.sum(-1).long(), PROBS).log_prob(value)
    torch.testing.assert_close(dist.Multinomial(6, PROBS).log_prob(value), own)


def test_entropy_of_multinomial_is_exact_in_single_precision():
    d = dist.Multinomial(60, torch.full((4,), 0.25))
    want = multinomial(60, [0.25] * 4).entropy()
    assert math.isclose(d.entropy().item(), want, rel_tol=2e-7)


def test_entropy_of_binomials_of_several_totals():
    want = [float(binom(int(n), 0.3).entropy()) for n in TOTALS]
    got = dist.Binomial(TOTALS.double(), torch.tensor(0.3, dtype=torch.float64)).entropy()
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64))


COUNTS_OF = {
    "ExtendedBinomial": lambda n, p: dist.ExtendedBinomial(n, p),
    "ExtendedBetaBinomial": lambda n, p: dist.ExtendedBetaBinomial(2 * p, 3.0 * p, n),
}


@pytest.mark.parametrize("name", COUNTS_OF)
def test_rows_of_several_totals_are_summed_out_like_each_alone(name):
    p = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    seen = torch.tensor([0.5, 1.0, 2.5], dtype=torch.float64)

    def evidence(totals, data):
        counts = COUNTS_OF[name](totals, p)
        values = counts.enumerate_support()
        assert values.shape == (int(totals.max()) + 1, len(totals))
        joint = counts.log_prob(values) + dist.Normal(values, 1.0).log_prob(data)
        return joint.logsumexp(0).sum()

    together = evidence(TOTALS.double(), seen)
    alone = sum(evidence(TOTALS[i : i + 1].double(), seen[i : i + 1]) for i in range(3))
    torch.testing.assert_close(together, alone)
    slopes = [torch.autograd.grad(total, p)[0] for total in (together, alone)]
    assert slopes[0].isfinite()
    torch.testing.assert_close(*slopes)


def test_no_count_is_possible_where_the_total_is_negative():
    counts = dist.ExtendedBinomial(torch.tensor([-1.0, 1.0]), torch.tensor(0.5))
    mass = counts.log_prob(counts.enumerate_support()).exp()
    torch.testing.assert_close(mass, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))


@pytest.mark.parametrize("family", ["Binomial", "BetaBinomial"])
def test_counts_of_several_totals_name_the_family_that_can_be_enumerated(family):
    params = (TOTALS, PROBS) if family == "Binomial" else (PROBS, PROBS, TOTALS)
    with pytest.raises(NotImplementedError, match=rf"from 0 to 8.*Extended{family}"):
        getattr(dist, family)(*params).enumerate_support()
