"""Whole steps as one program: the numbers of the handlers."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.infer.svi.whole_step as whole_step
from ppl.engine import record
from ppl.engine.cpp_library import find_compiler
from ppl.errors import PPLWarning
from ppl.infer import SVI, JitTrace_ELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from ppl.optim import (
    SGD,
    Adam,
    ClippedAdam,
    ExponentialLR,
    RMSprop,
    Rprop,
)

from .conjugate import ZERO, guide, model

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7, 0.1, 0.9], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def by_hand(model, guide, *args):
    return Trace_ELBO().differentiable_loss(model, guide, *args)


def train(mode, optim, loss, data, model=model, guide=guide):
    """Losses, parameters, the state of the optimizer and the generator after a few steps."""
    ppl.clear_param_store()
    ppl.set_rng_seed(1)
    svi = SVI(model, guide, optim(), loss)
    if mode != "eager":
        svi._whole = whole_step.WholeStep(svi, mode, warns=True)
    losses = torch.tensor([svi.step(x) for x in data], dtype=torch.float64)
    params = [ppl.param(name).detach().clone() for name in ppl.get_param_store()]
    return losses, params, svi.optim.get_state(), torch.rand(3)


OPTIMIZERS = {
    "Adam": lambda: Adam({"lr": 0.05, "betas": (0.8, 0.99)}),
    "Adam with decay": lambda: Adam({"lr": 0.05, "weight_decay": 0.1}),
    "ClippedAdam": lambda: ClippedAdam(
        {"lr": 0.05, "lrd": 0.9, "clip_norm": 1.0, "weight_decay": 0.1}
    ),
    "SGD": lambda: SGD({"lr": 0.01}),
    "SGD with momentum": lambda: SGD({"lr": 0.01, "momentum": 0.8}),
    "RMSprop": lambda: RMSprop({"lr": 0.01}),
    "options by name": lambda: Adam(lambda name: {"lr": 0.1 if name == "m" else 0.01}),
    "scheduled": lambda: ExponentialLR(
        {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "gamma": 0.9}
    ),
}
SHORT = [DATA, DATA, DATA, DATA[:2], DATA + 1, DATA[:2], DATA]


@pytest.mark.filterwarnings("error::ppl.errors.PPLWarning")
@pytest.mark.parametrize("optim", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_recorded_steps_are_those_of_the_handlers(optim):
    expected = train("eager", optim, Trace_ELBO(), SHORT)
    actual = train("graph", optim, Trace_ELBO(), SHORT)
    assert_close(actual, expected, rtol=1e-12, atol=1e-14)


LOSSES = [TraceGraph_ELBO(), TraceMeanField_ELBO(num_particles=3), JitTrace_ELBO(), by_hand]


@pytest.mark.filterwarnings("error::ppl.errors.PPLWarning")
@pytest.mark.parametrize("loss", LOSSES, ids=range(4))
def test_every_loss_can_be_recorded(loss):
    expected = train("eager", OPTIMIZERS["Adam"], loss, SHORT)
    actual = train("graph", OPTIMIZERS["Adam"], loss, SHORT)
    assert_close(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("error::ppl.errors.PPLWarning")
def test_compiled_steps_are_those_of_the_handlers():
    optim = OPTIMIZERS["Adam"]
    expected = train("eager", optim, Trace_ELBO(), SHORT)
    assert_close(train("inductor", optim, Trace_ELBO(), SHORT), expected, rtol=1e-12, atol=1e-14)
    ppl.clear_param_store()
    ppl.set_rng_seed(1)
    svi = SVI(model, guide, optim(), Trace_ELBO(), compile=True)
    losses = torch.tensor([svi.step(x) for x in SHORT], dtype=torch.float64)
    assert_close(losses, expected[0], rtol=1e-12, atol=1e-14)


def test_a_dynamic_model_trains_after_one_warning():
    def dynamic(data):
        z = ppl.sample("z", dist.Normal(ZERO, 1.0))
        scale = 1.0 if z > 0 else 2.0
        with ppl.plate("data", len(data)):
            ppl.sample("x", dist.Normal(z, scale), obs=data)

    data = [DATA] * 6
    with pytest.warns(PPLWarning, match="without recording") as seen:
        actual = train("graph", OPTIMIZERS["Adam"], Trace_ELBO(), data, dynamic)
    assert len(seen) == 1
    expected = train("eager", OPTIMIZERS["Adam"], Trace_ELBO(), data, dynamic)
    assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def test_parameters_that_come_later_are_trained():
    def growing(data):
        guide(data)
        if len(data) > 3:
            ppl.param("late", ZERO.clone())

    data = [DATA[:2], DATA[:2], DATA, DATA, DATA[:2]]
    with pytest.warns(PPLWarning, match="not the same"):
        actual = train("graph", OPTIMIZERS["SGD"], Trace_ELBO(), data, guide=growing)
    assert len(actual[1]) == 3


def test_what_has_no_pure_update_trains_through_the_handlers():
    optim = lambda: Rprop({"lr": 0.01})  # noqa: E731
    with pytest.warns(PPLWarning, match="not known as a pure function"):
        actual = train("graph", optim, Trace_ELBO(), SHORT)
    assert_close(actual, train("eager", optim, Trace_ELBO(), SHORT))
    amsgrad = lambda: Adam({"lr": 0.01, "amsgrad": True})  # noqa: E731
    with pytest.warns(PPLWarning, match="amsgrad=True"):
        actual = train("graph", amsgrad, Trace_ELBO(), SHORT)
    assert_close(actual, train("eager", amsgrad, Trace_ELBO(), SHORT))


def test_a_long_fit_is_recorded_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_step, "ENOUGH_TO_RECORD", 10)
    calls = []

    def counted(data):
        calls.append(1)
        model(data)

    results = []
    for ends in ([40], [17, 40]):
        ppl.set_rng_seed(0)
        for end in ends:
            ppl.clear_param_store()
            svi = SVI(counted, guide, Adam({"lr": 0.05}), Trace_ELBO())
            calls.clear()
            results.append(
                svi.fit(end, DATA, checkpoint=tmp_path / str(ends), disable_progbar=True)
            )
            assert len(calls) < 12
    assert torch.equal(results[0].losses, results[2].losses)


@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_the_choice_depends_on_the_work():
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO())
    assert whole_step.for_fit(whole_step.ENOUGH_TO_RECORD - 1, svi) is None
    program = record(lambda x: x + x, torch.ones(2))
    steps = whole_step.WORTH_COMPILING // len(program.graph.nodes)
    assert [whole_step.is_worth_compiling(program, n) for n in (steps - 1, steps + 1)] == [
        False,
        True,
    ]


def test_steps_in_a_loop_are_recorded_after_some(monkeypatch):
    monkeypatch.setattr(whole_step, "ENOUGH_TO_RECORD", 10)
    calls, losses = [], []

    def counted(data):
        calls.append(1)
        model(data)

    svi = SVI(counted, guide, Adam({"lr": 0.05}), Trace_ELBO())
    losses = [svi.step(DATA) for _ in range(40)]
    assert len(calls) < 20
    ppl.clear_param_store()
    ppl.set_rng_seed(0)
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO())
    monkeypatch.setattr(whole_step, "ENOUGH_TO_RECORD", 100)
    assert losses == pytest.approx([svi.step(DATA) for _ in range(40)], rel=1e-12)


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
def test_what_draws_outside_of_torch_is_not_recorded(draw, monkeypatch):
    def noisy(data):
        ppl.factor("noise", ZERO + draw())
        model(data)

    def trained(mode):
        return train(mode, OPTIMIZERS["Adam"], Trace_ELBO(), [DATA] * 6, noisy)

    with pytest.warns(PPLWarning, match="draw with torch"):
        actual = trained("graph")
    assert_close(actual, trained("eager"), rtol=1e-12, atol=1e-14)


def test_a_hooked_parameter_is_trained_through_the_handlers():
    norms = []
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO(), compile=True)
    svi.step(DATA)
    ppl.get_param_store()._params["m"].register_hook(lambda g: norms.append(g.norm().item()))
    with pytest.warns(PPLWarning, match="'m' has a hook"):
        for _ in range(4):
            svi.step(DATA)
    assert len(norms) == 4


def test_a_cleared_store_and_a_copy_train_their_own_parameters():
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO())
    svi._whole = whole_step.WholeStep(svi, "graph", warns=True)
    for _ in range(6):
        svi.step(DATA)
    for trained in (svi, copy.deepcopy(svi)):
        ppl.clear_param_store()
        for _ in range(6):
            trained.step(DATA)
        assert ppl.param("m") != 0.0
        before = ppl.param("m").item()
        trained.step(DATA)
        assert ppl.param("m").item() != before


def test_modules_and_guides_that_write_themselves_are_trained():
    found = []
    for mode in ("eager", "graph"):
        torch.manual_seed(0)
        ppl.clear_param_store()
        net = torch.nn.Linear(1, 1).double()

        def regression(x, net=net):
            ppl.module("net", net)
            ppl.sample("y", dist.Normal(net(x), 1.0).to_event(2), obs=2 * x)

        svi = SVI(regression, lambda x: None, Adam({"lr": 0.05}), Trace_ELBO())
        if mode == "graph":
            svi._whole = whole_step.WholeStep(svi, mode, warns=True)
        found.append([svi.step(DATA[:, None]) for _ in range(10)])
        found.append([x.item() for x in net.parameters()])
    for actual, expected in zip(found[2:], found[:2], strict=True):
        assert actual == pytest.approx(expected, rel=1e-12)


def test_a_long_fit_of_a_dynamic_model_trains_after_one_warning(monkeypatch):
    monkeypatch.setattr(whole_step, "ENOUGH_TO_RECORD", 10)

    def dynamic(data):
        model(data if ppl.sample("w", dist.Normal(ZERO, 1.0), obs=ZERO + 1.0) > 0 else -data)
        if ppl.param("m") > 5.0:
            ppl.factor("far", -ZERO)

    svi = SVI(dynamic, guide, Adam({"lr": 0.05}), Trace_ELBO())
    with pytest.warns(PPLWarning, match="without recording") as seen:
        result = svi.fit(20, DATA, disable_progbar=True)
    assert len(seen) == 1 and result.num_steps == 20
