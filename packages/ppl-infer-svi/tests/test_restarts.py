"""Several fits by one program: each ends where it ends alone."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

import ppl
import ppl.distributions as dist
import ppl.infer.svi.whole_step as whole_step
from ppl.errors import ArgumentError
from ppl.infer import SVI, Trace_ELBO
from ppl.infer.autoguide import AutoNormal
from ppl.infer.autoguide.initialization import init_to_sample
from ppl.optim import Adam

DATA = torch.cat([torch.full((20,), -3.0), torch.full((10,), 3.0)]).double()
FIRST = torch.zeros((), dtype=torch.float64)


def model(data):
    """Two modes of the mean: the square is what is observed."""
    z = ppl.sample("z", dist.Normal(FIRST, 3.0))
    with ppl.plate("rows", 30, subsample_size=len(data)):
        ppl.sample("x", dist.Normal(z.square() * z / 9.0, 1.0), obs=data)


def functions():
    def guide(data):
        loc = ppl.param("loc", lambda: torch.randn((), dtype=torch.float64))
        ppl.sample("z", dist.Normal(loc, 0.1))

    return guide


def modules():
    return AutoNormal(model, init_loc_fn=init_to_sample)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.clear_param_store()
    ppl.set_rng_seed(0)


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("make_guide", [functions, modules])
def test_each_fit_ends_where_it_ends_alone(make_guide, is_recorded, monkeypatch):
    monkeypatch.setattr(whole_step, "ENOUGH_TO_RECORD", 20 if is_recorded else 1000)
    options = {"disable_progbar": True}
    svi = SVI(model, make_guide(), Adam({"lr": 0.05}), Trace_ELBO())
    after = torch.get_rng_state()
    best = svi.fit(40, DATA, num_restarts=4, **options)
    assert len(best.restarts) == 4 and "best of 4" in repr(best)
    assert any(torch.equal(best.losses, each.losses) for each in best.restarts)
    for name, value in best.params.items():
        assert torch.equal(ppl.param(name), value)
    ends = torch.stack([torch.cat([x.flatten() for x in r.params.values()]) for r in best.restarts])
    assert len(ends.unique(dim=0)) == 4
    for each in best.restarts:
        ppl.clear_param_store()
        ppl.set_rng_seed(each.seed)
        alone = SVI(model, make_guide(), Adam({"lr": 0.05}), Trace_ELBO()).fit(40, DATA, **options)
        assert_close(each.losses, alone.losses, rtol=0, atol=0)
        assert_close(each.params, alone.params, rtol=0, atol=0)
    assert not torch.equal(after, torch.get_rng_state())


def test_the_best_has_the_least_loss():
    svi = SVI(model, functions(), Adam({"lr": 0.1}), Trace_ELBO())
    best = svi.fit(150, DATA, num_restarts=5, disable_progbar=True)
    levels = [each.losses[-15:].mean() for each in best.restarts]
    assert best.losses[-15:].mean() == min(levels) < max(levels)


def test_batches_begin_anew_for_each_fit():
    loader = DataLoader(DATA, 10, shuffle=True)
    calls = []
    svi = SVI(model, functions(), Adam({"lr": 0.05}), Trace_ELBO())
    best = svi.fit(
        7,
        batches=loader,
        num_restarts=2,
        disable_progbar=True,
        callback=lambda step, loss: calls.append(step),
    )
    assert calls == [*range(1, 8)] * 2
    ppl.clear_param_store()
    ppl.set_rng_seed(best.seed)
    alone = SVI(model, functions(), Adam({"lr": 0.05}), Trace_ELBO())
    assert torch.equal(alone.fit(7, batches=loader, disable_progbar=True).losses, best.losses)


def test_a_checkpoint_of_several_fits_is_refused(tmp_path):
    svi = SVI(model, functions(), Adam({"lr": 0.05}), Trace_ELBO())
    with pytest.raises(ArgumentError, match="of one fit"):
        svi.fit(7, DATA, num_restarts=2, checkpoint=tmp_path / "fit")
