"""Values may be what people have: arrays, columns, numbers and booleans are like tensors."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine

from .cases import CASES


class Column:
    """Stands in for a series of pandas, and for whatever else says how it becomes an array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def kinds(value):
    """The same numbers in every form that holds them."""
    array = value.numpy()
    forms = [array, Column(array), array[::-1].copy()[::-1], value.tolist()]
    if torch.equal(value, value.round()):
        forms += [array.astype(np.int64), array.astype(np.int32), value.int()]
        if ((value == 0) | (value == 1)).all():
            forms += [array.astype(bool), value.bool()]
    return forms


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_family_scores_numbers_of_every_kind(case):
    torch.manual_seed(0)
    family = case.dist()
    value = family.sample((3,))
    want = family.log_prob(value)
    for form in kinds(value):
        for made in (family, family.mask(True), family.mask(want[0] < 9e9)):
            assert_close(made.log_prob(form), want)
        assert_close(family.to_event(1).log_prob(form), want.sum(-1))
        if case.has_cdf:
            assert_close(family.cdf(form), family.cdf(value))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_family_is_observed_at_numbers_of_every_kind(case):
    torch.manual_seed(0)
    family = case.dist()
    value = family.sample((3,))
    want = family.log_prob(value).sum()
    for form in kinds(value)[:3]:
        trace = poutine.trace(lambda form=form: ppl.sample("x", family, obs=form)).get_trace()
        assert_close(trace.log_prob_sum(), want)


UNIVARIATE = [case for case in CASES if case.dist().event_dim == 0]


@pytest.mark.parametrize("case", UNIVARIATE, ids=str)
def test_every_family_scores_python_numbers(case):
    torch.manual_seed(0)
    member = case.members()[0]
    value = member.sample()
    for number in (value.item(), value.numpy()[()]):
        assert_close(member.log_prob(number), member.log_prob(value), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize(
    "family", [dist.Normal, dist.Laplace, dist.Cauchy, dist.Gumbel, dist.Logistic, dist.VonMises]
)
def test_whole_numbers_and_booleans_are_real_numbers(family):
    made = family(torch.tensor(0.5), torch.tensor(2.0))
    want = made.log_prob(torch.tensor(1.0))
    for one in (1, True, np.int64(1), np.bool_(True), torch.tensor(1), torch.tensor(True)):
        assert_close(made.log_prob(one), want)
        assert_close(made.mask(True).log_prob(one), want)


def test_numbers_have_all_the_digits_of_the_parameters():
    made = dist.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    assert made.log_prob(0.1).item() == made.log_prob(torch.tensor(0.1).double() * 0 + 0.1).item()
    assert_close(made.icdf(0.975), torch.tensor(1.959963984540054, dtype=torch.float64))


def test_a_category_beyond_the_digits_of_single_precision_is_still_itself():
    index = 2**24 + 1
    logits = torch.zeros(2**24 + 2)
    logits[index] = 1.0
    made = dist.Categorical(logits=logits)
    want = made.log_prob(torch.tensor(index))
    assert_close(made.log_prob(index), want)
    assert_close(made.log_prob(np.int64(index)), want)


def test_tensors_in_a_list_keep_their_gradients():
    x = torch.tensor(0.5, requires_grad=True)
    dist.Normal(0.0, 1.0).log_prob([x, 2.0]).sum().backward()
    assert_close(x.grad, torch.tensor(-0.5))


@pytest.mark.parametrize("method", ["log_prob", "cdf", "icdf"])
@pytest.mark.parametrize(
    "value", [[[1.0], [1.0, 2.0]], np.array([1.0, None], dtype=object), "0.5", None, {}]
)
def test_what_is_no_array_of_numbers_is_refused_by_the_name_of_the_method(method, value):
    for error in (ValueError, TypeError):
        with pytest.raises(error, match=rf"Normal.{method}: expected a tensor"):
            getattr(dist.Normal(0.0, 1.0), method)(value)


def test_an_error_of_the_density_itself_passes():
    class Refuses(dist.Normal):
        def log_prob(self, value):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        Refuses(0.0, 1.0).log_prob(torch.tensor(1.0))
