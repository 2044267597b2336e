"""Steps replayed from C++: those of the same program called from Python, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.engine.cpp_library import find_compiler
from ppl.errors import NotFiniteError, PPLWarning
from ppl.infer import SVI, Trace_ELBO
from ppl.optim import Adam, ClippedAdam
from ppl.poutine import seed

pytestmark = [
    pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("error::ppl.errors.PPLWarning"),
]
DATA = torch.linspace(-1.0, 1.0, 30)


def model(data, edge):
    z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([20]).to_event(1))
    rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
    with ppl.plate("rows", len(data), subsample_size=8) as rows:
        ppl.sample("x", dist.Laplace(z.mean(), rate), obs=data[rows])
    ppl.factor("trap", torch.where(z[0] > edge, torch.nan, 0.0))


def guide(data, edge):
    loc = ppl.param("loc", torch.zeros(20))
    shape = ppl.param("shape", torch.tensor(2.0), constraint=dist.constraints.positive)
    ppl.sample("z", dist.Normal(loc, 0.5).to_event(1))
    ppl.sample("rate", dist.Gamma(shape, 1.0))


def decaying():
    return ClippedAdam({"lr": 0.05, "lrd": 0.99, "clip_norm": 5.0})


def fresh(is_native, optim=decaying, model=model, guide=guide):
    ppl.clear_param_store()
    ppl.set_rng_seed(1)
    svi = SVI(model, guide, optim(), Trace_ELBO(), compile=True)
    svi._whole._is_native = is_native
    return svi


def state_of(svi):
    params = [ppl.param(name).detach().clone() for name in ppl.get_param_store()]
    return params, svi.optim.get_state(), torch.rand(3)


def fitted(is_native, optim=decaying, edge=torch.inf, num_steps=60, **options):
    svi = fresh(is_native, optim)
    result = svi.fit(num_steps, DATA, torch.tensor(edge), disable_progbar=True, **options)
    assert (svi._whole._native is not None) is is_native
    return svi, result


def assert_same(one, other):
    assert_close(one, other, rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("optim", [decaying, lambda: Adam({"lr": 0.05})], ids=["decaying", "Adam"])
def test_many_steps_at_once_are_single_steps(optim):
    svi, result = fitted(True, optim)
    found = state_of(svi)
    svi, expected = fitted(False, optim)
    assert_same((result.losses, *found), (expected.losses, *state_of(svi)))


def test_steps_that_are_not_finite_change_nothing_and_are_counted():
    found = []
    for is_native in (True, False):
        with pytest.warns(PPLWarning, match="steps were skipped .* site 'trap'"):
            svi, result = fitted(is_native, edge=0.6)
        assert 3 < result.num_skipped < 30
        found.append((result.losses, result.num_skipped, *state_of(svi)))
    assert_same(*found)


def test_other_arguments_are_read_and_so_are_changes_in_place():
    found = []
    for is_native in (True, False):
        svi, losses, data = fresh(is_native), [], DATA.clone()
        for step in range(12):
            if step > 8:
                data = data + 1.0
            elif step > 5:
                data += 1.0
            losses.append(svi.step(data, torch.tensor(torch.inf)))
        found.append((losses, *state_of(svi)))
    assert_same(*found)


def test_a_state_that_is_replaced_between_steps_is_used():
    found = []
    for is_native in (True, False):
        svi = fresh(is_native, lambda: Adam({"lr": 0.05}))
        losses = [svi.step(DATA, torch.tensor(torch.inf)) for _ in range(6)]
        saved = svi.optim.get_state()
        losses += [svi.step(DATA, torch.tensor(torch.inf)) for _ in range(3)]
        svi.optim.set_state(saved)
        ppl.get_param_store()._params["loc"].data = torch.ones(20)
        losses += [svi.step(DATA, torch.tensor(torch.inf)) for _ in range(3)]
        found.append((losses, *state_of(svi)))
    assert_same(*found)


def test_a_step_that_is_not_finite_is_left_to_the_handlers():
    svi = fresh(True)
    for _ in range(6):
        svi.step(DATA, torch.tensor(torch.inf))
    before = torch.get_rng_state()
    draws = []
    for take in (svi.step, svi.evaluate_loss):
        torch.set_rng_state(before)
        with pytest.raises(NotFiniteError, match="'trap'"):
            take(DATA, torch.tensor(-torch.inf))
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


def test_generators_of_a_thread_are_not_passed_over():
    svi = fresh(True)
    for _ in range(6):
        svi.step(DATA, torch.tensor(torch.inf))
    before = torch.get_rng_state()
    with seed(rng_seed=3):
        svi.step(DATA, torch.tensor(torch.inf))
    assert torch.equal(before, torch.get_rng_state())


def test_what_cpp_cannot_replay_is_called_from_python_after_one_warning():
    def dividing(data, edge):
        model(data, edge)
        with ppl.plate("count", 4):
            count = ppl.sample("n", dist.Poisson(3.0), infer={"is_auxiliary": True})
        ppl.factor("rest", 0.0 * (count.long() // (1 + count.long())).sum())

    def both(data, edge):
        guide(data, edge)
        with ppl.plate("count", 4):
            ppl.sample("n", dist.Poisson(3.0))

    svi = fresh(True, model=dividing, guide=both)
    with pytest.warns(PPLWarning, match="calls .* from Python.* divides integers") as seen:
        losses = [svi.step(DATA, torch.tensor(torch.inf)) for _ in range(6)]
    assert len(seen) == 1 and bool(torch.tensor(losses).isfinite().all())


def test_checkpoints_do_not_change_the_steps(tmp_path):
    straight = fitted(True)[1]
    fitted(True, num_steps=23, checkpoint=tmp_path / "fit", checkpoint_every=7)
    svi, resumed = fitted(True, checkpoint=tmp_path / "fit", checkpoint_every=7)
    assert_same(resumed.losses, straight.losses)
    assert_same(resumed.params, straight.params)
