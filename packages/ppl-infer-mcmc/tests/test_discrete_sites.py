"""Discrete latent sites are summed out of the potential, exactly and inside the recording."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import poutine
from ppl.errors import (
    ArgumentError,
    IntractableError,
    PPLWarning,
    ShapeError,
    SiteError,
    UnsupportedModelError,
)
from ppl.infer.enumeration import enumerate_discrete
from ppl.infer.initialization import init_to_uniform
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.infer.mcmc.driver import batches, sequential
from ppl.infer.mcmc.target.evaluation import loop_potential, recorded_potential
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.util import TraceEinsumEvaluator, TraceTreeEvaluator, initialize_model
from ppl.primitives import deterministic, plate, sample
from ppl.validation import validation_enabled

from .targets import generator

DATA = torch.tensor([-1.2, -0.7, 2.8, 3.3, 3.1, -0.9], dtype=torch.float64)
ONE = torch.ones((), dtype=torch.float64)
STEP = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)


def locations():
    weight = sample("weight", dist.Beta(2 * ONE, 2 * ONE))
    return weight, sample("loc", dist.Normal(torch.zeros(2).double(), 3.0).to_event(1))


def mixture():
    weight, loc = locations()
    with plate("data", len(DATA)):
        z = sample("z", dist.Bernoulli(weight))
        deterministic("which", 2 * z)
        sample("x", dist.Normal(loc[z.long()], 1.0), obs=DATA)
    deterministic("gap", loc[1] - loc[0])


def mixture_by_hand():
    weight, loc = locations()
    kinds = dist.Categorical(torch.stack((1 - weight, weight)))
    with plate("data", len(DATA)):
        sample("x", dist.MixtureSameFamily(kinds, dist.Normal(loc, 1.0)), obs=DATA)
    deterministic("gap", loc[1] - loc[0])


def hidden_markov():
    _, loc = locations()
    z = 0
    for t in poutine.markov(range(len(DATA))):
        z = sample(f"z{t}", dist.Categorical(STEP[z]))
        sample(f"x{t}", dist.Normal(loc[z], 1.0), obs=DATA[t])


def hidden_markov_by_hand():
    _, loc = locations()
    scores = dist.Normal(loc, 1.0).log_prob(DATA[:, None])
    filtered = STEP[0].log() + scores[0]
    for score in scores[1:]:
        filtered = (filtered[:, None] + STEP.log()).logsumexp(0) + score
    sample("x", dist.Delta(0 * ONE, log_density=filtered.logsumexp(0)), obs=0 * ONE)


def switch():
    """One site for all rows, and one for each."""
    weight, loc = locations()
    on = sample("on", dist.Bernoulli(weight))
    with plate("data", len(DATA)):
        z = sample("z", dist.Bernoulli(0.2 + 0.6 * on))
        sample("x", dist.Normal(loc[z.long()], 1.0), obs=DATA)


def switch_by_hand():
    weight, loc = locations()
    scores = dist.Normal(loc, 1.0).log_prob(DATA[:, None]).exp()
    rows = [(1 - p) * scores[:, 0] + p * scores[:, 1] for p in (0.2, 0.8)]
    total = (1 - weight) * rows[0].prod() + weight * rows[1].prod()
    sample("x", dist.Delta(0 * ONE, log_density=total.log()), obs=0 * ONE)


PAIRS = [
    (mixture, mixture_by_hand),
    (hidden_markov, hidden_markov_by_hand),
    (switch, switch_by_hand),
]


def target_of(model, **options):
    return Target.of_model(model, (), {}, None, init_to_uniform, 4, None, **options)


@pytest.mark.parametrize(("model", "by_hand"), PAIRS)
def test_the_potential_is_that_of_the_model_marginalized_by_hand(model, by_hand):
    torch.manual_seed(0)
    one, other = target_of(model), target_of(by_hand)
    assert one.layout == other.layout
    positions = torch.randn(5, 3, generator=generator(0), dtype=torch.float64)
    with validation_enabled(False):
        found, exact = (loop_potential(target.potential)(positions) for target in (one, other))
    assert_close(found, exact)


@pytest.mark.parametrize("model", [model for model, _ in PAIRS])
def test_the_sum_is_part_of_the_recording(model):
    torch.manual_seed(0)
    target = target_of(model)
    positions = torch.randn(4, 3, generator=generator(1), dtype=torch.float64)
    with validation_enabled(False), warnings.catch_warnings():
        warnings.simplefilter("error")  # no fall-back
        recorded = recorded_potential(target.potential, target.start)
        assert_close(recorded(positions), loop_potential(target.potential)(positions))


def run(kernel, method):
    start = {"weight": torch.zeros(2).double(), "loc": torch.ones(2, 2).double()}
    mcmc = MCMC(kernel, 20, 20, start, num_chains=2, chain_method=method, disable_progbar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # short chains are not to be trusted
        mcmc.run()
    return mcmc.get_samples()


@pytest.mark.parametrize("method", ["vectorized", "sequential"])
@pytest.mark.parametrize("kernel", [NUTS, lambda model: HMC(model, step_size=0.3, num_steps=4)])
def test_the_draws_are_those_of_the_model_marginalized_by_hand(kernel, method, monkeypatch):
    for driver in (batches, sequential):  # the same noise for both models
        monkeypatch.setattr(driver, "draw_seeds", lambda num_chains: list(range(num_chains)))
    found, exact = (run(kernel(model), method) for model in PAIRS[0])
    assert set(found) == {"weight", "loc", "gap"}  # no "z", and no "which" that depends on it
    assert_close(found, exact, rtol=1e-5, atol=1e-5)


def test_a_hidden_site_may_have_a_start_of_little_density():
    def model():
        loc = sample("loc", dist.Normal(0 * ONE, 1.0))
        z = sample("z", dist.Categorical(logits=torch.tensor([0.0, -torch.inf]).double()))
        sample("x", dist.Normal(loc + z, 1.0), obs=ONE)

    params, potential, _, _ = initialize_model(model)
    assert potential(params).isfinite()


def test_too_little_room_is_refused_with_the_nesting_to_pass():
    with pytest.raises(ShapeError, match="'data'.*max_plate_nesting=1"):
        target_of(mixture, max_plate_nesting=0)
    start = target_of(mixture).start[0]
    assert_close(target_of(mixture, max_plate_nesting=3).potential(start),
                 target_of(mixture).potential(start))  # fmt: skip


@pytest.mark.parametrize("fn", [dist.Poisson(3.0), dist.Poisson(torch.ones(2)).to_event(1)])
def test_sites_that_cannot_list_their_values_are_refused_by_name(fn):
    def model():
        sample("p", dist.Beta(1.0, 1.0))
        sample("count", fn)

    with pytest.raises(SiteError, match="'count'.*marginalize.*observe"):
        initialize_model(model)


def test_intractable_sums_are_refused_by_name():
    def model():
        sample("p", dist.Beta(1.0, 1.0))
        rows, columns = plate("rows", 3, dim=-2), plate("columns", 2, dim=-1)
        with rows:
            c = sample("c", dist.Bernoulli(0.3))
        with columns:
            d = sample("d", dist.Bernoulli(0.3))
        with rows, columns:
            sample("x", dist.Normal(c + d, 1.0), obs=torch.zeros(3, 2))

    with pytest.raises(IntractableError, match="'c', 'd', 'x'"):
        initialize_model(model)


def test_a_subsample_under_a_shared_discrete_site_is_refused():
    def model():
        sample("p", dist.Beta(1.0, 1.0))
        z = sample("z", dist.Bernoulli(0.5))
        with plate("data", 6, subsample_size=2) as index:
            sample("x", dist.Normal(z, 1.0), obs=DATA[index])

    with pytest.raises(UnsupportedModelError, match="'data'.*subsample"):
        initialize_model(model)


@pytest.mark.parametrize("evaluator", [TraceEinsumEvaluator, TraceTreeEvaluator])
def test_the_evaluators_sum_an_enumerated_trace(evaluator):
    data = {"weight": 0.3 * ONE, "loc": torch.tensor([0.5, 1.5]).double()}
    exact = poutine.trace(poutine.condition(mixture_by_hand, data=data)).get_trace().log_prob_sum()
    conditioned = poutine.condition(mixture, data=data)
    trace = poutine.trace(enumerate_discrete(conditioned, 1)).get_trace()
    evaluate = evaluator(trace, has_enumerable_sites=True, max_plate_nesting=1)
    assert_close(evaluate.log_prob(trace), exact)
    plain = poutine.trace(mixture_by_hand).get_trace()
    assert_close(evaluator(plain).log_prob(plain), plain.log_prob_sum())
    with pytest.raises(ArgumentError, match="max_plate_nesting"):
        evaluator(trace, has_enumerable_sites=True)
