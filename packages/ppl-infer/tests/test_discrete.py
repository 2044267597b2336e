"""Programs around which infer_discrete stands draw their discrete sites from the posterior."""

from __future__ import annotations

import itertools
import math
import pickle

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import poutine
from ppl.errors import PPLWarning, SiteError
from ppl.infer import Predictive, config_enumerate, infer_discrete
from ppl.poutine import markov
from ppl.primitives import plate, sample
from ppl.util import set_rng_seed

START, STEP = torch.tensor([0.2, 0.8]), torch.tensor([[0.9, 0.1], [0.3, 0.7]])
LOCS, DATA = torch.tensor([0.0, 1.0]), torch.tensor([0.1, 0.9, 0.4, 1.3, -0.2])


@pytest.fixture(autouse=True)
def _seed():
    set_rng_seed(0)


@config_enumerate
def hidden_markov(data=DATA):
    z, states = None, []
    for t in markov(range(len(DATA))):
        z = sample(f"z{t}", dist.Categorical(START if z is None else STEP[z]))
        sample(f"x{t}", dist.Normal(LOCS[z], 0.5), obs=None if data is None else data[t])
        states.append(z)
    return states


@config_enumerate
def coin(x=None):
    z = sample("z", dist.Bernoulli(0.5))
    sample("x", dist.Normal(20 * z, 1.0), obs=x)
    return z


def log_joint(path):
    first = START[path[0]].log() + dist.Normal(LOCS[path[0]], 0.5).log_prob(DATA[0])
    steps = [
        STEP[a, b].log() + dist.Normal(LOCS[b], 0.5).log_prob(x)
        for a, b, x in zip(path, path[1:], DATA[1:], strict=False)
    ]
    return sum(steps, first)


PATHS = list(itertools.product([0, 1], repeat=len(DATA)))
LOG_JOINTS = torch.stack([log_joint(path) for path in PATHS])


def test_temperature_zero_decodes_the_most_probable_path():
    best = infer_discrete(hidden_markov, temperature=0)()
    assert tuple(z.item() for z in best) == PATHS[LOG_JOINTS.argmax()]


def test_temperature_one_draws_paths_by_their_probabilities():
    """Fails by chance once in 10,000 runs: each of 32 frequencies has a z-score below 4.7."""

    def many():
        with plate("draws", 4000):
            return hidden_markov()

    drawn = torch.stack([z.expand(4000) for z in infer_discrete(many)()], -1)
    found = torch.stack([(drawn == torch.tensor(path)).all(-1).double().mean() for path in PATHS])
    truth = LOG_JOINTS.double().softmax(0)
    z = (found - truth) / (truth * (1 - truth) / 4000 + 1e-7).sqrt()
    assert z.abs().max() < 4.7


def test_handlers_further_out_are_in_force_for_the_posterior():
    one = torch.tensor(20.0)
    assert poutine.condition(infer_discrete(coin), data={"x": one})() == 1
    replayed = poutine.Trace()
    replayed.add_node("x", **poutine.trace(coin).get_trace(one).nodes["x"] | {"is_observed": False})
    assert poutine.replay(infer_discrete(coin), trace=replayed)() in (0, 1)


def test_a_trace_further_out_records_single_values_once():
    trace = poutine.trace(infer_discrete(coin)).get_trace(torch.tensor(20.0))
    assert [n for n, s in trace.nodes.items() if s["type"] == "sample"] == ["z", "x"]
    assert_close(trace.nodes["z"]["value"], torch.tensor(1.0))
    assert trace.log_prob_sum().item() == pytest.approx(
        math.log(0.5) + dist.Normal(20.0, 1.0).log_prob(torch.tensor(20.0)).item()
    )


def test_plates_further_out_are_left_alone():
    with plate("outer", 3, dim=-1):
        z = infer_discrete(coin)(torch.tensor([0.0, 20.0, 20.0]))
    assert z.tolist() == [0, 1, 1]


def test_both_runs_see_the_same_subsample_and_the_same_continuous_values():
    data = 20.0 * torch.arange(6).fmod(2)

    @infer_discrete
    @config_enumerate
    def model():
        shift = sample("shift", dist.Normal(0.0, 5.0))
        with plate("rows", 6, subsample_size=3) as rows:
            z = sample("z", dist.Bernoulli(torch.full((3,), 0.5)))
            sample("x", dist.Normal(20 * z + shift, 1.0), obs=data[rows] + shift.detach())
        return rows, z

    for _ in range(5):
        rows, z = model()
        assert_close(20 * z, data[rows])


def test_what_is_not_observed_tells_nothing():
    """A latent site that depends on an enumerated one; fails by chance once in 15,000 runs."""

    @config_enumerate
    def model():
        with plate("draws", 1000):
            z = sample("z", dist.Bernoulli(0.5))
            return z, sample("x", dist.Normal(100 * z, 0.01 + z))

    z, x = infer_discrete(model)()
    assert abs(z.mean() - 0.5) < 4 * 0.5 / math.sqrt(1000)
    assert_close((x > 50).float(), z)


def test_global_sites_get_one_value_from_all_slices():
    @infer_discrete
    @config_enumerate
    def model():
        a = sample("a", dist.Bernoulli(0.5))
        with plate("rows", 3):
            b = sample("b", dist.Bernoulli(0.1 + 0.8 * a))
            sample("x", dist.Normal(20 * b, 1.0), obs=torch.tensor([20.0, 20.0, 0.0]))
        return a, b

    draws = [model() for _ in range(300)]
    assert all(b.tolist() == [1, 1, 0] and a.shape == () for a, b in draws)
    truth = 0.9**2 * 0.1 / (0.9**2 * 0.1 + 0.1**2 * 0.9)
    share = torch.stack([a for a, _ in draws]).mean()
    assert abs(share - truth) < 4 * math.sqrt(truth * (1 - truth) / 300)


def test_predictive_draws_posterior_states_for_each_posterior_sample():
    @config_enumerate
    def model():
        scale = sample("scale", dist.Exponential(1.0))
        with plate("rows", 2):
            z = sample("z", dist.Bernoulli(0.5))
            sample("x", dist.Normal(20 * scale * z, 1.0), obs=torch.tensor([0.0, 20.0]))

    program = infer_discrete(model, first_available_dim=-3, temperature=0)
    samples = {"scale": torch.tensor([1.0, 1.0, 1e-3])}
    for parallel in (False, True):
        found = Predictive(program, samples, return_sites=["z"], parallel=parallel)()
        assert_close(found["z"].squeeze()[:2], torch.tensor([[0.0, 1.0], [0.0, 1.0]]))


def test_values_that_were_drawn_in_place_of_all_are_chosen_among():
    @infer_discrete(temperature=0)
    def model():
        infer = {"enumerate": "parallel", "num_samples": 400}
        c = sample("c", dist.Normal(0.0, 1.0), infer=infer)
        sample("x", dist.Normal(c, 0.1), obs=torch.tensor(1.0))
        return c

    assert abs(model() - 1.0) < 0.2


def test_what_a_mask_leaves_out_does_not_change_the_most_probable_path():
    """The end of a padded chain, which would rather come from the other state."""

    @config_enumerate
    def model(length):
        z, states = torch.tensor(0), []
        step = torch.tensor([[0.45, 0.55], [0.05, 0.95]])
        for t in markov(range(4)):
            with poutine.mask(mask=torch.tensor(t < length)):
                z = sample(f"z{t}", dist.Categorical(step[z]))
                sample(f"x{t}", dist.Normal(LOCS[z], 1.0), obs=torch.tensor(0.35))
            states.append(z)
        return states

    # alone, one step is 0.45 N(0.35; 0, 1) against 0.55 N(0.35; 1, 1)
    fit = dist.Normal(LOCS, 1.0).log_prob(torch.tensor(0.35)) + torch.tensor([0.45, 0.55]).log()
    assert infer_discrete(model, temperature=0)(1)[0] == fit.argmax()


def test_a_masked_site_is_drawn_from_its_prior():
    """Fails by chance once in 15,000 runs."""

    @config_enumerate
    def model():
        with plate("draws", 1000), poutine.mask(mask=torch.tensor(False)):
            return sample("z", dist.Bernoulli(0.2))

    assert abs(infer_discrete(model)().mean() - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 1000)


@pytest.mark.parametrize("temperature", [0.5, 2, None])
def test_other_temperatures_are_refused(temperature):
    with pytest.raises(SiteError, match="must be 0 or 1"):
        infer_discrete(coin, temperature=temperature)


def test_programs_without_marks_are_warned_about_unless_that_is_turned_off():
    def model():
        sample("c", dist.Normal(0.0, 1.0))

    with pytest.warns(PPLWarning, match="no site to enumerate"):
        infer_discrete(model)()
    infer_discrete(model, strict_enumeration_warning=False)()


def test_the_program_can_be_pickled():
    assert (
        pickle.loads(pickle.dumps(infer_discrete(log_joint))).args == infer_discrete(log_joint).args
    )
