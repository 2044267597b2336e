"""Chains in processes: the same draws as one after another, one bar, and no process left behind."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import OrderedDict

import pytest
import torch

import ppl.distributions as dist
from ppl.errors import ArgumentError, NotFiniteError, PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS, MCMCKernel
from ppl.infer.mcmc.driver.parallel import ChainError, run_in_processes
from ppl.primitives import clear_param_store, factor, param, sample

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7])


def model(data):
    mean = sample("mean", dist.Normal(0.0, 1.0))
    sample("x", dist.Normal(mean, 1.0).expand(data.shape).to_event(1), obs=data)


class Metropolis(MCMCKernel):
    """A random walk, as somebody else would write it, with the global generator."""

    def __init__(self):
        self.num_draws = 0

    def setup(self, warmup_steps, *args, **kwargs):
        self.num_draws = 0

    @property
    def initial_params(self):
        return {"z": torch.randn(2)}

    def diagnostics(self):
        return {"draws": self.num_draws}

    def sample(self, params):
        self.num_draws += 1
        return {"z": params["z"] + torch.randn(2)}


def run(kernel, method, *args, **options):
    torch.manual_seed(0)
    options = {"num_samples": 6, "warmup_steps": 4, "num_chains": 3, **options}
    mcmc = MCMC(kernel, chain_method=method, **{"disable_progbar": True, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # short chains are not to be trusted
        mcmc.run(*args)
    return mcmc


KERNELS = {
    "nuts": (lambda: NUTS(model), {}),
    "hmc": (lambda: HMC(model, step_size=0.3, num_steps=3), {}),
    "hook": (lambda: NUTS(model), {"hook_fn": lambda *_: None}),
    "own": (lambda: Metropolis(), {"thinning": 2}),
}


@pytest.mark.parametrize("name", KERNELS)
def test_parallel_chains_are_bit_for_bit_the_sequential_ones(name):
    make, options = KERNELS[name]
    one, other = (run(make(), method, DATA, **options) for method in ("sequential", "parallel"))
    for site, draws in one.get_samples(group_by_chain=True).items():
        assert torch.equal(other.get_samples(group_by_chain=True)[site], draws)
    assert other.diagnostics().keys() == one.diagnostics().keys()
    for label in {"divergences", "acceptance rate", "draws"} & one.diagnostics().keys():
        assert other.diagnostics()[label] == one.diagnostics()[label]
    for field, values in one.get_extra_fields().items():
        assert torch.equal(other.get_extra_fields()[field], values)


def test_spawned_chains_are_the_forked_ones_with_parameters_and_dtype():
    clear_param_store()
    param("scale", torch.tensor(2.0))
    one, other = (run(NUTS(with_param), "parallel", mp_context=how, num_chains=2)
                  for how in ("fork", "spawn"))  # fmt: skip
    assert torch.equal(one.get_samples()["z"], other.get_samples()["z"])
    assert other.get_samples()["z"].mean() > 50
    clear_param_store()


def with_param():
    sample("z", dist.Normal(100.0 * param("scale"), 1.0))


def test_a_closure_cannot_be_spawned_and_the_error_says_what_to_do():
    with pytest.raises(ArgumentError, match="top level.*mp_context='fork'"):
        run(NUTS(lambda: sample("z", dist.Normal(0.0, 1.0))), "parallel", mp_context="spawn")


def test_another_run_goes_on_with_other_random_numbers():
    torch.manual_seed(0)
    mcmc = MCMC(NUTS(model), 5, 5, num_chains=2, chain_method="parallel", disable_progbar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)
        mcmc.run(DATA)
        first = mcmc.get_samples()["mean"]
        mcmc.run(DATA)
    assert not torch.equal(first, mcmc.get_samples()["mean"])


def test_one_bar_counts_the_draws_of_all_chains(capsys):
    run(NUTS(model), "parallel", DATA, disable_progbar=False)
    shown = capsys.readouterr().err
    assert "30/30" in shown
    assert "/10 " not in shown


def impossible():
    factor("never", sample("z", dist.Normal(0.0, 1.0)) - torch.inf)


def test_an_error_of_a_chain_comes_with_its_traceback():
    with pytest.raises(NotFiniteError, match="never") as caught:
        run(NUTS(impossible), "parallel", mp_context="spawn")
    assert isinstance(caught.value.__cause__, ChainError)
    assert "find_initial_points" in str(caught.value.__cause__)
    assert not multiprocessing.active_children()


def test_what_is_wrong_with_a_model_is_found_before_processes_are_forked():
    with pytest.raises(NotFiniteError, match="never") as caught:
        run(NUTS(impossible), "parallel", mp_context="fork")
    assert caught.value.__cause__ is None


LONG = 90.0  # seconds: a run that hangs in a process ends the test, and not the test run


@contextlib.contextmanager
def watched():
    """Interrupt what is still under way after a long time."""
    alarm = threading.Timer(LONG, lambda: os.kill(os.getpid(), signal.SIGINT))
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def counting(folder):
    """Return what compiles, and leaves a file for each program that a process compiled."""
    import ppl.engine.inductor

    compile_now = ppl.engine.inductor._compile

    def compile_and_tell(*args):
        (folder / f"{os.getpid()}_{time.monotonic_ns()}").touch()
        return compile_now(*args)

    return compile_and_tell


@pytest.mark.parametrize("options", [{"chain_method": "parallel"}, {"num_processes": 2}], ids=str)
def test_a_program_is_compiled_once_and_in_no_process_of_a_chain(options, tmp_path, monkeypatch):
    """The law: a forked process never compiles what its parent can."""
    monkeypatch.setattr("ppl.engine.inductor._compile", counting(tmp_path))
    monkeypatch.setattr("ppl.engine.inductor._generated", OrderedDict())
    options = {"chain_method": "vectorized", "num_chains": 4, **options}
    with watched():
        mcmc = run(NUTS(model, jit_compile=True), options.pop("chain_method"), DATA, **options)
    assert mcmc.get_samples()["mean"].shape == (24,)
    assert [int(file.name.split("_")[0]) for file in tmp_path.iterdir()] == [os.getpid()]
    assert not multiprocessing.active_children()


def slow(folder, delay):
    """A model that says when its process has drawn something, and takes its time."""
    calls = itertools.count()

    def model():
        x = sample("x", dist.Normal(0.0, 1.0))
        float(x)
        call = next(calls)
        if call == 400:
            (folder / str(os.getpid())).touch()
        if call > 400:
            time.sleep(delay)

    return model


@pytest.mark.filterwarnings("ignore::ppl.errors.PPLWarning")
@pytest.mark.parametrize("options", [{"chain_method": "parallel"}, {"num_processes": 2}], ids=str)
def test_an_interrupt_of_processes_keeps_what_they_have_drawn(options, tmp_path, monkeypatch):
    monkeypatch.setattr("ppl.infer.mcmc.driver.parallel._num_processors", lambda: 2)

    def interrupt():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    kernel = HMC(slow(tmp_path, 0.01), step_size=0.5, num_steps=1)
    mcmc = MCMC(kernel, 10_000, 10, num_chains=2, disable_progbar=True, **options)
    thread.start()
    with watched(), pytest.raises(KeyboardInterrupt):
        mcmc.run()
    draws = mcmc.get_samples(group_by_chain=True)["x"]
    assert draws.shape[0] in (1, 2)
    assert 10 < draws.shape[1] < 10_000
    assert draws.unique().numel() > 5
    assert not multiprocessing.active_children()


class Picky(Exception):
    """Cannot be read from its pickle."""

    def __init__(self, one, two):
        super().__init__(one)


def raise_picky(chain):
    raise Picky("one", "two")


def die(chain):
    if chain == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait(60)


def test_an_error_that_cannot_be_sent_is_told():
    with pytest.raises(ChainError, match=r"chain 0(.|\n)*Picky: one"):
        run_in_processes(raise_picky, 1, 1, disable_progbar=True)


def test_the_death_of_a_process_ends_all_of_them():
    with pytest.raises(ChainError, match="chain 1 ended with exit code -9"):
        run_in_processes(die, 2, 1, disable_progbar=True)
    assert not multiprocessing.active_children()


def test_an_interrupt_ends_all_processes(monkeypatch):
    monkeypatch.setattr("ppl.infer.mcmc.driver.parallel._num_processors", lambda: 2)

    def interrupt():
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_in_processes(lambda chain: threading.Event().wait(60), 2, 1, disable_progbar=True)
    assert not multiprocessing.active_children()


def test_more_chains_than_processors_take_turns(monkeypatch):
    monkeypatch.setattr("ppl.infer.mcmc.driver.parallel._num_processors", lambda: 1)
    assert run_in_processes(lambda chain: chain**2, 4, 1, disable_progbar=True) == [0, 1, 4, 9]


def test_a_process_has_one_thread_and_our_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        found = run_in_processes(thread_and_dtype, 1, 1, "spawn", disable_progbar=True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == [(1, torch.float64)]


def thread_and_dtype(chain):
    return torch.get_num_threads(), torch.get_default_dtype()


def test_batches_in_processes_sample_the_posterior_and_repeat():
    options = {"num_samples": 50, "warmup_steps": 60, "num_chains": 32, "num_processes": 2}
    one, other = (run(NUTS(model, jit_compile=True), "vectorized", DATA, **options) for _ in "ab")
    draws = one.get_samples(group_by_chain=True)["mean"]
    assert draws.shape == (32, 50)
    assert torch.equal(draws, other.get_samples(group_by_chain=True)["mean"])
    assert not torch.equal(draws[:16], draws[16:])
    assert abs(float(draws.mean()) - float(DATA.sum()) / 5) < 4 * 5**-0.5 / 400**0.5
    assert list(one.diagnostics()["divergences"]) == [f"chain {i}" for i in range(32)]
    assert not multiprocessing.active_children()


def test_a_batch_is_the_run_of_its_chains_alone():
    """Nothing is shared between batches: the first is what it is without the second."""
    options = {"num_samples": 6, "warmup_steps": 4}
    two = run(NUTS(model), "vectorized", DATA, num_chains=4, num_processes=2, **options)
    seeds = run(NUTS(model), "vectorized", DATA, num_chains=4, **options)
    together, apart = (m.get_samples(group_by_chain=True)["mean"] for m in (seeds, two))
    torch.testing.assert_close(apart, together, rtol=1e-4, atol=1e-5)


def test_batches_have_one_size():
    with pytest.raises(ArgumentError, match="multiple of num_processes=2.*got 3"):
        MCMC(NUTS(model), 10, num_chains=3, num_processes=2)
