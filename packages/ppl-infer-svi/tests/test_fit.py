"""Many steps: batches, checkpoints, early stops, and what goes wrong on the way."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, FileFormatError, NotFiniteError, PPLWarning, SiteError
from ppl.infer import SVI, Trace_ELBO
from ppl.infer.svi import EarlyStopping
from ppl.optim import Adam, ClippedAdam

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7, 0.1, 0.9], dtype=torch.float64)
ZERO = torch.zeros((), dtype=torch.float64)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(data):
    z = ppl.sample("z", dist.Normal(ZERO, 1.0))
    with ppl.plate("data", len(DATA), subsample_size=len(data)):
        ppl.sample("x", dist.Normal(z, 1.0), obs=data)


def guide(data):
    m = ppl.param("m", ZERO.clone())
    s = ppl.param("s", ZERO + 1.0, constraint=constraints.positive)
    ppl.sample("z", dist.Normal(m, s))


def new_svi(model=model, guide=guide, optim=None):
    ppl.clear_param_store()
    return SVI(model, guide, optim or Adam({"lr": 0.02}), Trace_ELBO())


def fit(svi, num_steps, *args, **kwargs):
    return svi.fit(num_steps, *args, disable_progbar=True, **kwargs)


def test_a_fit_is_its_steps():
    result = fit(new_svi(), 20, DATA)
    ppl.set_rng_seed(0)
    svi = new_svi()
    losses = torch.tensor([svi.step(DATA) for _ in range(20)], dtype=torch.float64)
    assert torch.equal(result.losses, losses)
    assert {name: ppl.param(name).item() for name in result.params} == {
        name: value.item() for name, value in result.params.items()
    }
    assert result.reason == "steps" and "20 steps" in repr(result)


@pytest.mark.parametrize("size", [None, 4])
def test_a_conjugate_model_reaches_the_exact_posterior(size):
    optim = ClippedAdam({"lr": 0.05, "lrd": 0.997})
    if size is None:
        result = fit(new_svi(optim=optim), 1500, DATA)
    else:
        loader = DataLoader(TensorDataset(DATA), size, shuffle=True)
        result = fit(new_svi(optim=optim), 1500, batches=loader)
    assert result.params["m"].item() == pytest.approx(DATA.sum().item() / 7, abs=0.05)
    assert result.params["s"].item() == pytest.approx(1 / math.sqrt(7), abs=0.05)


def named(data, weight=None):
    model(data)


BATCHES = {
    "tensors": [DATA[:3], DATA[3:]],
    "tuples": [(DATA[:3],), (DATA[3:],)],
    "mappings": [{"data": DATA[:3]}, {"data": DATA[3:]}],
}


@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
def test_batches_are_arguments(batches):
    svi = new_svi()
    result = fit(svi, 5, batches=batches)
    assert result.num_steps == 5
    with pytest.raises(ArgumentError, match="DataLoader"):
        fit(svi, 5, batches=DATA)
    with pytest.raises(ArgumentError, match="empty"):
        fit(svi, 5, batches=[])


def test_an_iterator_ends_a_fit():
    assert fit(new_svi(), 9, batches=iter(BATCHES["tensors"])).reason == "batches"


def test_a_plate_of_another_size_than_the_data_warns():
    def unscaled(data):
        z = ppl.sample("z", dist.Normal(ZERO, 1.0))
        with ppl.plate("data", len(data)):
            ppl.sample("x", dist.Normal(z, 1.0), obs=data)

    for batches in (DataLoader(DATA, 2), [DATA[:2], DATA[2:4], DATA[4:]]):
        with pytest.warns(PPLWarning, match="'data' has size 2, but the batches have 6 rows"):
            fit(new_svi(unscaled), 8, batches=batches)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(new_svi(), 8, batches=batches)


def overflow(is_broken):
    ppl.sample("trap", dist.Normal(ZERO, 1.0), obs=torch.tensor(math.inf if is_broken else 0.0))


def undefined(is_broken):
    ppl.factor("trap", torch.tensor(math.nan if is_broken else 0.0))


@pytest.mark.parametrize("trap", [overflow, undefined])
def test_steps_that_are_not_finite_are_skipped_and_counted(trap):
    def broken(data, is_broken):
        model(data)
        trap(is_broken)

    svi = new_svi(broken, lambda data, is_broken: guide(data))
    batches = [(DATA, False), (DATA, True), (DATA, False)]
    with pytest.warns(PPLWarning, match="1 of 3 steps were skipped .* site 'trap'"):
        result = fit(svi, 3, batches=batches)
    assert result.num_skipped == 1 and "1 skipped" in repr(result)
    assert result.losses.isfinite().tolist() == [True, False, True]
    assert all(bool(value.isfinite()) for value in result.params.values())
    with pytest.raises(NotFiniteError, match="100 steps in a row, .* site 'trap'"):
        fit(svi, 200, DATA, True)


def test_an_interrupt_keeps_what_was_learnt():
    def interrupt(step, loss):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.warns(PPLWarning, match="interrupted after 7 steps"):
        result = fit(new_svi(), 20, DATA, callback=interrupt)
    assert (result.num_steps, result.reason) == (7, "interrupted")
    assert result.params["m"] == ppl.param("m") != 0.0


SCRIPT = """
    import os, random, signal, sys
    import numpy as np
    import torch
    from torch.utils.data import DataLoader
    import ppl, ppl.distributions as dist
    from ppl.infer import SVI, Trace_ELBO
    from ppl.optim import Adam

    data = torch.arange(10.0)

    def model(x):
        z = ppl.sample("z", dist.Normal(0.0, 1.0 + random.random() + np.random.rand()))
        with ppl.plate("data", 10, subsample_size=len(x)):
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        ppl.sample("z", dist.Normal(ppl.param("m", torch.tensor(0.0)), 1.0))

    def run(path, last):
        ppl.clear_param_store()
        ppl.set_rng_seed(1)
        generator = torch.Generator().manual_seed(3) if last % 2 else None
        loader = DataLoader(data, 3, shuffle=True, generator=generator)
        def kill(step, loss):
            if step == last:
                os.kill(os.getpid(), signal.SIGKILL)
        svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
        result = svi.fit(40, batches=loader, checkpoint=path, checkpoint_every=7,
                         callback=kill, disable_progbar=True)
        ends = [torch.rand(1), torch.tensor([random.random(), np.random.rand()])]
        return [result.losses, result.params["m"], *ends]
"""


def test_a_killed_fit_goes_on_bit_for_bit(tmp_path):
    script = textwrap.dedent(SCRIPT)
    killed = script + f"run({str(tmp_path / 'killed')!r}, 27)"
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -signal.SIGKILL
    names: dict = {}
    exec(script, names)
    resumed = names["run"](tmp_path / "killed", -1)
    straight = names["run"](tmp_path / "straight", -1)
    assert len(resumed[0]) == 40 and all(map(torch.equal, resumed, straight))
    torch.load(tmp_path / "killed", weights_only=True)


def test_a_finished_fit_can_be_made_longer(tmp_path):
    fit(new_svi(), 10, DATA, checkpoint=tmp_path / "fit")
    longer = fit(new_svi(), 30, DATA, checkpoint=tmp_path / "fit")
    ppl.set_rng_seed(0)
    assert torch.equal(longer.losses, fit(new_svi(), 30, DATA).losses)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    fit(new_svi(), 2, DATA, checkpoint=tmp_path / "fit")

    def other(data):
        ppl.sample("z", dist.Normal(ppl.param("loc", ZERO.clone()), 1.0))

    def wider(data):
        m = ppl.param("m", ZERO.expand(2).clone())
        ppl.sample("z", dist.Normal(m[0], ppl.param("s", ZERO + 1.0)))

    for another, what in ((other, "lacks the parameter 'loc'"), (wider, r"'m' is \(\)")):
        with pytest.raises(FileFormatError, match=what):
            fit(new_svi(guide=another), 4, DATA, checkpoint=tmp_path / "fit")
    (tmp_path / "damaged").write_bytes(b"x" * 100)
    with pytest.raises(FileFormatError):
        fit(new_svi(), 4, DATA, checkpoint=tmp_path / "damaged")
    ppl.get_param_store().save(tmp_path / "params")
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        fit(new_svi(), 4, DATA, checkpoint=tmp_path / "params")


def first_stop(test, losses):
    return next((n for n in range(1, len(losses) + 1) if test.should_stop(losses[:n])), None)


def looks(test, losses):
    steps = range(test.window, len(losses) + 1, test.window)
    return any(test.should_stop(losses[:n]) for n in steps)


@pytest.mark.parametrize("dependence", [0.0, 0.5])
def test_false_stops_are_no_more_than_declared(dependence):
    torch.manual_seed(0)
    test = EarlyStopping(window=200, tolerance=0.4, false_stop_rate=0.2)
    noise = torch.randn(300, 1000, dtype=torch.float64)
    for t in range(1, 1000):
        noise[:, t] += dependence * noise[:, t - 1]
    losses = noise - 0.4 * torch.arange(1000) / 200  # falls by the tolerance in each window
    stops = sum(looks(test, row.tolist()) for row in losses)
    assert stops <= 300 * 0.2 + 4 * math.sqrt(300 * 0.2 * 0.8)  # false alarm 3e-5


def test_a_flat_loss_stops_soon_and_a_falling_one_does_not():
    torch.manual_seed(0)
    noise = torch.randn(6000, dtype=torch.float64)
    assert first_stop(EarlyStopping(), noise.tolist()) <= 3000
    assert first_stop(EarlyStopping(), (noise - torch.arange(6000) / 500).tolist()) is None
    assert first_stop(EarlyStopping(), [3.0] * 2000) == 1000


def test_a_fit_that_has_converged_stops():
    result = fit(new_svi(), 20_000, DATA, early_stopping=EarlyStopping(window=300))
    assert result.reason == "converged" and result.num_steps < 5000


def test_options_out_of_range_are_refused():
    for options in ({"window": 10}, {"tolerance": 0.0}, {"false_stop_rate": 1.0}):
        with pytest.raises((ArgumentError, SiteError)):
            EarlyStopping(**options)
    with pytest.raises(SiteError, match="num_steps"):
        fit(new_svi(), -1, DATA)


def test_losses_can_be_drawn():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = fit(new_svi(), 60, DATA).plot()
    assert axes.get_ylabel() == "loss (nats)" and len(axes.lines) == 2


def test_modules_are_resumed_in_place(tmp_path):
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        net = torch.nn.Linear(1, 1).double()

        def regression(x, net=net):
            ppl.module("net", net)
            ppl.sample("y", dist.Normal(net(x), 1.0).to_event(2), obs=2 * x)

        svi = new_svi(regression, lambda x: None)
        losses.append(fit(svi, 5 + 5 * len(losses), DATA[:, None], checkpoint=tmp_path / "f"))
    assert_close(losses[1].losses[:5], losses[0].losses)
    assert losses[1].losses[5] < losses[0].losses[4]
