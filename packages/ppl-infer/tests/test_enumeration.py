"""Discrete sites are summed out exactly, and marked for that; what cannot be is refused by name."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import poutine
from ppl.engine import record
from ppl.errors import IntractableError, ShapeError, SiteError
from ppl.infer import config_enumerate
from ppl.infer.enum import iter_discrete_traces
from ppl.infer.enumeration import check_room, enumerate_discrete, log_sum
from ppl.poutine import markov
from ppl.poutine.util import site_is_subsample
from ppl.primitives import deterministic, factor, plate, sample


def double(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X = double(4)
START, STEP = double(3).softmax(-1), (4 * double(3, 3, seed=1)).softmax(-1)


def one_site(w):
    z = sample("z", dist.Bernoulli(0.3 * torch.ones_like(w)))
    sample("x", dist.Normal(w * z, 1.0), obs=X[0])


def local_sites(w):
    with plate("rows", 4):
        z = sample("z", dist.Categorical(START))
        sample("x", dist.Normal(w * z, 1.0), obs=X)
    sample("free", dist.Normal(w, 1.0), obs=X[1])


def global_and_local_sites(w):
    a = sample("a", dist.Bernoulli(0.3 + 0 * w))
    with plate("rows", 4):
        b = sample("b", dist.Bernoulli(0.2 + 0.5 * a))
        sample("x", dist.Normal(w * a + b, 1.0), obs=X)


def nested_plates(w):
    with plate("columns", 2, dim=-1):
        a = sample("a", dist.Bernoulli(0.3 + 0 * w))
        with plate("rows", 2, dim=-2):
            b = sample("b", dist.Bernoulli(0.2 + 0.5 * a))
            sample("x", dist.Normal(w * b - a, 1.0), obs=X.reshape(2, 2))


def plate_of_one(w):
    with plate("rows", 1):
        z = sample("z", dist.Bernoulli(0.3 + 0 * w))
        sample("x", dist.Normal(w * z, 1.0), obs=X[:1])


def hidden_markov(w):
    z = 0
    for t in markov(range(4)):
        z = sample(f"z{t}", dist.Categorical(STEP[z]))
        sample(f"x{t}", dist.Normal(w * z, 1.0), obs=X[t])


def second_order(w):
    old, z = torch.tensor(0), torch.tensor(1)
    for t in markov(range(4), history=2):
        old, z = z, sample(f"z{t}", dist.Bernoulli(0.2 + 0.2 * old + 0.3 * z)).long()
        sample(f"x{t}", dist.Normal(w * z, 1.0), obs=X[t])


def markov_in_a_plate(w):
    with plate("rows", 2):
        z = 0
        for t in markov(range(2)):
            z = sample(f"z{t}", dist.Categorical(STEP[z]))
            sample(f"x{t}", dist.Normal(w * z, 1.0), obs=X[2 * t : 2 * t + 2])


def separate_sites(w):
    for i in range(3):
        z = sample(f"z{i}", dist.Bernoulli(0.3 + 0 * w))
        sample(f"x{i}", dist.Normal(w * z, 1.0), obs=X[i])


def masked(w):
    with plate("rows", 4), poutine.mask(mask=torch.tensor([True, False, True, True])):
        z = sample("z", dist.Bernoulli(0.3 + 0 * w))
        sample("x", dist.Normal(w * z, 1.0), obs=X)


def with_factor(w):
    z = sample("z", dist.Bernoulli(0.3 + 0 * w))
    factor("f", w * z)


def impossible_values(w):
    z = sample("z", dist.Categorical(logits=torch.stack((w, 2 * w, w - torch.inf))))
    sample("x", dist.Normal(w * z, 1.0), obs=X[0])


MODELS = [
    one_site, local_sites, global_and_local_sites, nested_plates, plate_of_one, hidden_markov,
    second_order, markov_in_a_plate, separate_sites, masked, with_factor, impossible_values,
]  # fmt: skip


def by_brute_force(model, w):
    """Run the model at every assignment of its discrete sites."""
    sites = dict(poutine.trace(model).get_trace(w).iter_stochastic_nodes())
    sites = {name: site for name, site in sites.items() if not site_is_subsample(site)}
    choices = [
        itertools.product(range(len(s["fn"].enumerate_support(False))), repeat=s["value"].numel())
        for s in sites.values()
    ]
    total = []
    for values in itertools.product(*choices):
        data = {
            name: torch.tensor(value, dtype=site["value"].dtype).reshape(site["value"].shape)
            for (name, site), value in zip(sites.items(), values, strict=True)
        }
        trace = poutine.trace(poutine.condition(model, data=data)).get_trace(w)
        total.append(trace.log_prob_sum())
    return torch.stack(total).logsumexp(0)


def by_contraction(model, w):
    return log_sum(poutine.trace(enumerate_discrete(model, 2)).get_trace(w))


W = torch.tensor(0.7, dtype=torch.float64)


@pytest.mark.parametrize("model", MODELS)
def test_the_sum_and_its_gradient_are_those_over_all_assignments(model):
    w = W.clone().requires_grad_()
    exact, found = by_brute_force(model, w), by_contraction(model, w)
    assert found.shape == ()
    assert found.dtype == torch.float64
    assert_close(found, exact)
    assert_close(torch.autograd.grad(found, w), torch.autograd.grad(exact, w))


@pytest.mark.parametrize("model", MODELS)
def test_the_sum_can_be_recorded_over_a_batch(model):
    batch = torch.stack((W, 2 * W, -W))
    both = torch.func.vmap(torch.func.grad_and_value(lambda w: by_contraction(model, w)))
    program = record(both, batch)
    _, values = program(batch + 0.1)
    assert_close(values, torch.stack([by_contraction(model, w + 0.1) for w in batch]))


def test_a_long_chain_costs_no_more_dimensions_than_its_history():
    def model(w):
        z = 0
        for t in markov(range(60)):
            z = sample(f"z{t}", dist.Categorical(STEP[z]))
            sample(f"x{t}", dist.Normal(w * z, 1.0), obs=X[t % 4])

    filtered = STEP[0].log()
    for t in range(60):
        if t:
            filtered = (filtered[:, None] + STEP.log()).logsumexp(0)
        filtered = filtered + dist.Normal(W * torch.arange(3), 1.0).log_prob(X[t % 4])
    assert_close(by_contraction(model, W), filtered.logsumexp(0))


def test_a_subsampled_plate_scales_the_sums_over_its_own_sites():
    def model():
        with plate("rows", 8, subsample_size=4):
            z = sample("z", dist.Bernoulli(torch.tensor(0.3).double()))
            sample("x", dist.Normal(2 * z, 1.0), obs=X)

    density = 0.7 * dist.Normal(0.0, 1.0).log_prob(X).exp()
    density = density + 0.3 * dist.Normal(2.0, 1.0).log_prob(X).exp()
    found = log_sum(poutine.trace(enumerate_discrete(model, 1)).get_trace())
    assert_close(found, 2 * density.log().sum())


def test_sites_that_are_summed_together_need_the_same_scale():
    def model():
        z = sample("z", dist.Bernoulli(0.3))
        with plate("rows", 8, subsample_size=4):
            sample("x", dist.Normal(2 * z, 1.0), obs=X)

    with pytest.raises(SiteError, match="'z' and 'x'.*scales 1.* and 2"):
        log_sum(poutine.trace(enumerate_discrete(model, 1)).get_trace())


def test_a_scale_by_row_is_refused():
    def model():
        with plate("rows", 4), poutine.scale(scale=torch.arange(1.0, 5.0)):
            sample("z", dist.Bernoulli(0.3))

    with pytest.raises(SiteError, match="'z'.*one number"):
        log_sum(poutine.trace(enumerate_discrete(model, 1)).get_trace())


def test_an_intractable_sum_is_refused_with_the_names_of_its_sites():
    def model():
        rows, columns = plate("rows", 3, dim=-2), plate("columns", 2, dim=-1)
        with rows:
            c = sample("c", dist.Bernoulli(0.3))
        with columns:
            d = sample("d", dist.Bernoulli(0.3))
        with rows, columns:
            sample("x", dist.Normal(c + d, 1.0), obs=torch.zeros(3, 2))

    with pytest.raises(IntractableError, match="'c', 'd', 'x'"):
        log_sum(poutine.trace(enumerate_discrete(model, 2)).get_trace())


def test_plates_that_leave_no_room_are_refused_with_the_nesting_to_pass():
    trace = poutine.trace(local_sites).get_trace(W)
    check_room(trace, 1)
    with pytest.raises(ShapeError, match="'z'.*'rows'.*max_plate_nesting=1"):
        check_room(trace, 0)


def test_batch_dimensions_outside_plates_are_refused_by_name():
    def model():
        sample("z", dist.Bernoulli(0.3))
        sample("x", dist.Normal(torch.zeros(4), 1.0), obs=X)

    with pytest.raises(ShapeError, match="'x'"):
        log_sum(poutine.trace(enumerate_discrete(model, 1)).get_trace())


def marked():
    sample("a", dist.Bernoulli(0.5))
    sample("b", dist.Bernoulli(0.5), infer={"enumerate": "sequential", "expand": True})
    sample("c", dist.Normal(0.0, 1.0))
    sample("d", dist.Bernoulli(0.5), obs=torch.tensor(1.0))
    deterministic("e", torch.tensor(1.0))


def marks(program):
    nodes = poutine.trace(program).get_trace().nodes
    return {name: nodes[name]["infer"].get("enumerate") for name in "abcde"}


def test_sites_with_finite_support_are_marked_and_marks_are_kept():
    assert marks(config_enumerate(marked)) == {
        "a": "parallel", "b": "sequential", "c": None, "d": None, "e": None,
    }  # fmt: skip
    decorated = config_enumerate(default="sequential")(marked)
    assert marks(decorated)["a"] == "sequential"
    site = poutine.trace(config_enumerate(marked, expand=True)).get_trace().nodes["a"]
    assert site["infer"]["expand"]


def test_all_latent_sites_are_marked_for_drawn_values():
    drawn = config_enumerate(marked, num_samples=3, tmc="mixture")
    assert marks(drawn)["c"] == "parallel"
    infer = poutine.trace(drawn).get_trace().nodes["c"]["infer"]
    assert (infer["num_samples"], infer["tmc"]) == (3, "mixture")


@pytest.mark.parametrize(
    "options",
    [{"default": "both"}, {"tmc": "x"}, {"num_samples": 0},
     {"num_samples": 2, "default": "sequential"}],
)  # fmt: skip
def test_marks_that_make_no_sense_are_refused(options):
    with pytest.raises(SiteError):
        config_enumerate(marked, **options)


def test_sequential_enumeration_visits_every_path_once():
    def model():
        x = sample("x", dist.Bernoulli(0.5))
        if x:
            sample("y", dist.Categorical(torch.ones(3) / 3))

    traces = list(iter_discrete_traces("flat", config_enumerate(model, default="sequential")))
    total = sum(trace.log_prob_sum().exp() for trace in traces)
    assert len(traces) == 4
    assert_close(total, torch.tensor(1.0))
