"""Exact inference by search."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import IntractableError, PPLWarning, SiteError, UnsupportedModelError
from ppl.infer import Search


def burglary():
    """The alarm of Pearl 1988, with the call of a neighbour observed."""
    burglar = ppl.sample("burglar", dist.Bernoulli(0.001))
    quake = ppl.sample("quake", dist.Bernoulli(0.002))
    p = torch.tensor([[0.001, 0.29], [0.94, 0.95]])[burglar.long(), quake.long()]
    alarm = ppl.sample("alarm", dist.Bernoulli(p))
    ppl.sample("call", dist.Bernoulli(torch.where(alarm > 0, 0.9, 0.05)), obs=torch.tensor(1.0))
    return burglar


def flips(p=0.5):
    """The number of failures before a success: no bound on the number of sites."""
    for n in itertools.count():
        if ppl.sample(f"flip_{n}", dist.Bernoulli(p)):
            return torch.tensor(float(n))


def test_a_posterior_is_that_of_the_sum_by_hand():
    p = {(0, 0): 0.001, (0, 1): 0.29, (1, 0): 0.94, (1, 1): 0.95}
    joint = torch.zeros(2)
    for (b, q), alarm in p.items():
        prior = (0.001 if b else 0.999) * (0.002 if q else 0.998)
        joint[b] += prior * (alarm * 0.9 + (1 - alarm) * 0.05)
    posterior = Search(burglary).run()
    assert len(posterior.exec_traces) == 8
    assert_close(posterior.marginal().empirical["_RETURN"].mean, joint[1] / joint.sum())
    assert_close(torch.stack(posterior.log_weights).logsumexp(0), joint.sum().log())


def test_values_may_decide_which_sites_follow():
    def nested():
        n = ppl.sample("n", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])))
        return sum(ppl.sample(f"x_{i}", dist.Bernoulli(0.5)) for i in range(int(n))) + 0 * n

    posterior = Search(nested).run()
    assert len(posterior.exec_traces) == 1 + 2 + 4
    assert_close(posterior.marginal().empirical["_RETURN"].mean, torch.tensor(0.65))


def test_elements_of_a_batch_and_an_event_have_values_of_their_own():
    p = torch.tensor([0.1, 0.5, 0.9])

    def batch():
        with ppl.plate("i", 3):
            x = ppl.sample("x", dist.Bernoulli(p))
        y = ppl.sample("y", dist.OneHotCategorical(torch.ones(2)).expand([2]).to_event(1))
        ppl.sample("sum", dist.Delta(x.sum() + y[..., 0].sum()), obs=torch.tensor(1.0))

    posterior = Search(batch).run()
    assert all(t.nodes["y"]["value"].shape == (2, 2) for t in posterior.exec_traces)
    # y adds 0, 1 or 2 with probabilities 1/4, 1/2, 1/4
    none = (1 - p).prod()
    one = (none * p / (1 - p)).sum()
    assert_close(torch.stack(posterior.log_weights).logsumexp(0).exp(), one / 4 + none / 2)
    expected = (none * p / (1 - p) / 4) / (one / 4 + none / 2)
    assert_close(posterior.marginal("x").empirical["x"].mean, expected)


def test_the_best_executions_come_first_and_a_warning_tells_what_is_missing():
    with pytest.warns(PPLWarning, match="stopped after max_tries=60"):
        posterior = Search(flips, max_tries=60).run()
    weights = torch.stack(posterior.log_weights)
    assert (weights.diff() < 0).all()
    assert_close(posterior.marginal().empirical["_RETURN"].mean, torch.tensor(1.0))


def test_the_warning_states_the_share_that_is_missing():
    with pytest.warns(PPLWarning, match=r"they hold 2\.5e-01 of the joint density"):
        posterior = Search(flips, max_tries=5).run()
    assert_close(torch.stack(posterior.log_weights).exp().sum(), torch.tensor(0.75))


def test_what_is_impossible_is_not_run():
    def ends():
        if ppl.sample("a", dist.Bernoulli(0.0)):
            raise AssertionError("impossible")
        ppl.sample("y", dist.Bernoulli(0.5), obs=torch.tensor(1.0))

    assert len(Search(ends).run().exec_traces) == 1


def test_a_program_without_a_possible_execution_is_refused():
    def never():
        ppl.sample("a", dist.Bernoulli(0.5))
        ppl.factor("f", torch.tensor(-math.inf))

    with pytest.raises(SiteError, match="no execution of positive probability.*the model has none"):
        Search(never).run()
    with pytest.raises(SiteError, match="in 1 tries; allow more by max_tries"):
        Search(flips, max_tries=1).run()


@pytest.mark.parametrize("fn", [dist.Normal(0.0, 1.0), dist.Poisson(1.0)])
def test_a_site_with_infinitely_many_values_is_refused_by_name(fn):
    def continuous():
        ppl.sample("a", dist.Bernoulli(0.5))
        ppl.sample("b", fn)

    with pytest.raises(UnsupportedModelError, match="site 'b'.*infinitely many"):
        Search(continuous).run()


def test_a_plate_that_subsamples_is_refused():
    def subsampled():
        with ppl.plate("data", 3, subsample_size=2):
            ppl.sample("x", dist.Bernoulli(0.5))

    with pytest.raises(UnsupportedModelError, match="plate 'data' subsamples"):
        Search(subsampled).run()


def test_too_many_combinations_are_refused_before_they_are_listed():
    def many():
        with ppl.plate("data", 64):
            ppl.sample("x", dist.Bernoulli(0.5))

    with pytest.raises(IntractableError, match=r"2 \*\* 64 combinations"):
        Search(many).run()


def test_an_error_of_the_model_is_raised():
    def broken():
        ppl.sample("a", dist.Bernoulli(0.5))
        raise ValueError("of the user")

    with pytest.raises(ValueError, match="of the user"):
        Search(broken).run()


@pytest.mark.parametrize("max_tries", [0, -1, 2.5, "many"])
def test_a_bound_that_is_none_is_refused(max_tries):
    with pytest.raises(SiteError, match="max_tries"):
        Search(burglary, max_tries=max_tries)
