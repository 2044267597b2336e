"""Runs that go on: after their process was killed, or because more draws are wanted."""

from __future__ import annotations

import os
import signal

import pytest
import torch

import ppl
import ppl.distributions as dist
from ppl import settings
from ppl.engine.cpp_library import find_compiler
from ppl.errors import FileFormatError, NotRunError, PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS, RandomWalkKernel
from ppl.infer.mcmc.driver import checkpoint as module

DATA = torch.tensor([1.0, 2.0, 4.0])
WAYS = {
    "together": {},
    "one after another": {"chain_method": "sequential"},
    "in processes": {"num_processes": 2},
    "many": {"num_chains": 16},
}
every_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
pytestmark = pytest.mark.filterwarnings("ignore::ppl.errors.PPLWarning")


def model(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 3.0))
    scale = ppl.sample("scale", dist.HalfNormal(2.0))
    ppl.deterministic("twice", 2 * mean)
    ppl.sample("data", dist.Normal(mean, scale).expand([3]).to_event(1), obs=data)


def driver(folder=None, kernel=NUTS, num_samples=60, every=10, seed=0, **options):
    ppl.set_rng_seed(seed)
    options = {"num_chains": 2, "disable_progbar": True, **options}
    return MCMC(
        kernel(model), num_samples, 60, checkpoint=folder, checkpoint_every=every, **options
    )


def drawn(folder=None, data=DATA, **options):
    mcmc = driver(folder, **options)
    mcmc.run(data)
    return mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields()


def assert_same(one, other):
    for found, expected in zip(one, other, strict=True):
        assert found.keys() == expected.keys()
        for name, x in expected.items():
            assert torch.equal(found[name].nan_to_num(), x.nan_to_num()), name


def killed(run):
    """Run a function in a process, and return whether it was killed."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        run()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_at(monkeypatch, number, in_the_midst):
    """Let the process be killed when it writes a state for the so-manyth time."""
    writes = iter(range(10_000))
    write = module.write_atomically

    def fatal(contents, file):
        is_last = next(writes) == number
        if is_last and in_the_midst:
            file.with_name(".unfinished").write_bytes(b"half of a state")
        if not (is_last and in_the_midst):
            write(contents, file)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(module, "write_atomically", fatal)


@every_way
def test_a_run_that_is_kept_has_the_draws_of_one_that_is_not(tmp_path, options):
    assert_same(drawn(tmp_path / "run", **options), drawn(**options))


@pytest.mark.parametrize(
    ("kernel", "number", "in_the_midst"),
    [
        (NUTS, 0, True),  # before anything is there
        (NUTS, 3, False),  # in warm-up
        (NUTS, 9, True),
        (HMC, 9, False),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, monkeypatch, kernel, number, in_the_midst):
    expected = drawn(kernel=kernel)
    with monkeypatch.context() as patch:
        kill_at(patch, number, in_the_midst)
        assert killed(lambda: drawn(tmp_path / "run", kernel=kernel))
    assert_same(drawn(tmp_path / "run", kernel=kernel, seed=5 if number else 0), expected)


@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("number", [1, 8])
def test_free_chains_go_on_bit_for_bit(tmp_path, monkeypatch, number):
    monkeypatch.setattr("ppl.infer.mcmc.chains.free_chains.WORK_OF_A_CALL", 1)  # look often
    with settings.context(mcmc_execution="inductor"):
        expected = drawn()
        with monkeypatch.context() as patch:
            kill_at(patch, number, False)
            assert killed(lambda: drawn(tmp_path / "run"))
        assert_same(drawn(tmp_path / "run"), expected)


def test_processes_go_on_bit_for_bit(tmp_path, monkeypatch):
    expected = drawn(num_processes=2)
    with monkeypatch.context() as patch:
        kill_at(patch, 4, False)
        with pytest.raises(Exception, match="process"):
            drawn(tmp_path / "run", num_processes=2)
    assert_same(drawn(tmp_path / "run", num_processes=2), expected)


@every_way
def test_a_finished_run_gives_its_draws_again_or_more_of_them(tmp_path, options):
    first, _ = drawn(tmp_path / "run", **options)
    again, _ = drawn(tmp_path / "run", **options, seed=1)
    longer, fields = drawn(tmp_path / "run", **options, num_samples=90)
    for name, x in first.items():
        assert torch.equal(again[name], x)
        assert torch.equal(longer[name][:, :60], x)
        assert longer[name].shape[1] == 90
    assert (fields["num_steps"] > 0).all()
    assert (longer["mean"][:, 60:].diff(dim=1) != 0).any(1).all()


@every_way
@pytest.mark.parametrize("is_kept", [False, True], ids=["", "kept"])
def test_a_run_is_made_longer(tmp_path, options, is_kept):
    mcmc = driver(tmp_path / "run" if is_kept else None, **options)
    mcmc.run(DATA)
    before = mcmc.get_samples(group_by_chain=True)
    mcmc.run(num_samples=30)
    mcmc.run(DATA, num_samples=10)
    after, fields = mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields()
    assert fields["energy"].shape == after["mean"].shape == (mcmc.num_chains, 100)
    assert torch.equal(after["mean"][:, :60], before["mean"])
    assert (fields["step_size"] == fields["step_size"][:, :1]).all()  # what warm-up has found
    assert mcmc.num_samples == 100 and "num_samples=100" in repr(mcmc)


def test_further_draws_are_of_the_posterior():
    """The posterior mean of a normal with a normal prior; false alarms at 5 sd: 6e-7."""

    def conjugate():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        ppl.sample("x", dist.Normal(mean, 1.0), obs=torch.tensor(2.0))

    ppl.set_rng_seed(0)
    mcmc = MCMC(NUTS(conjugate), 10, 200, num_chains=50, disable_progbar=True)
    mcmc.run()
    mcmc.run(num_samples=100)
    draws = mcmc.get_samples(group_by_chain=True)["mean"][:, 10:]
    assert abs(draws.mean() - 1.0) < 5 * (0.5 / 1000) ** 0.5  # some 5000 draws, 1000 as if alone


def test_a_model_keeps_an_argument_of_that_name():
    def with_argument(num_samples):
        ppl.sample("x", dist.Normal(float(num_samples), 1.0))

    mcmc = MCMC(NUTS(with_argument), 5, 5, disable_progbar=True)
    mcmc.run(num_samples=1)
    mcmc.run(num_samples=1)
    assert len(mcmc.get_samples()["x"]) == 5


# what goes wrong


def test_there_must_be_a_run_to_go_on():
    with pytest.raises(NotRunError, match="call MCMC.run"):
        driver().run(num_samples=3)
    mcmc = driver()
    mcmc.run(DATA)
    kept = mcmc.get_samples()["mean"]
    with pytest.raises(ValueError, match="the model or its data are others"):
        mcmc.run(DATA + 1, num_samples=3)
    assert torch.equal(mcmc.get_samples()["mean"], kept)  # nothing is lost by it


def other(data):
    ppl.sample("mean", dist.Normal(0.0, 3.0))


CHANGES = {
    "data": ({"data": DATA + 1}, "other data|or its data are others"),
    "chains": ({"num_chains": 4}, "num_chains is 2"),
    "kernel": ({"kernel": HMC}, "max_tree_depth is 10"),
    "target": ({"kernel": lambda model: NUTS(model, target_accept_prob=0.9)}, "target_accept"),
    "model": ({"kernel": lambda model: NUTS(other)}, "sites is"),
    "draws": ({"num_samples": 20}, "60 draws of each chain, here num_samples is only 20"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_another_run_is_told_and_changes_nothing(tmp_path, change, message):
    folder = tmp_path / "run"
    expected = drawn(folder)
    with pytest.raises(FileFormatError, match=f"(?s)({message}).*remove it to start anew"):
        drawn(folder, **change)
    assert_same(drawn(folder), expected)


def test_other_folders_and_damaged_files_are_told(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileFormatError, match="no checkpoint of MCMC"):
        drawn(tmp_path)
    with pytest.raises(FileFormatError, match="no checkpoint of MCMC"):
        drawn(tmp_path / "notes.txt")
    drawn(tmp_path / "run")
    file = tmp_path / "run" / "chain-0.state"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="truncated"):
        drawn(tmp_path / "run")
    torch.save({"mean": 3.0}, file)
    with pytest.raises(FileFormatError, match="no file of a run of MCMC"):
        drawn(tmp_path / "run")


def test_arguments_are_checked(tmp_path):
    with pytest.raises(TypeError, match="path of a folder"):
        driver(3)
    with pytest.raises(ValueError, match="checkpoint_every"):
        driver(tmp_path, every=0)
    for kernel, options in [(RandomWalkKernel, {}), (NUTS, {"hook_fn": lambda *args: None})]:
        with pytest.raises(ValueError, match="only kernels whose chains run as a batch"):
            drawn(tmp_path / "run", kernel=kernel, **options)


def test_another_way_of_evaluation_is_told(tmp_path):
    drawn(tmp_path / "run")
    file = tmp_path / "run" / "run.start"
    torch.save({**torch.load(file, weights_only=True), "execution": "compiled"}, file)
    with pytest.warns(PPLWarning, match="began compiled and goes on recorded"):
        drawn(tmp_path / "run")


def test_draws_are_mapped_to_files_and_computed_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("ppl.infer.mcmc.driver.batches.DRAWS_AT_ONCE", 7)
    found = drawn(tmp_path / "run")
    assert_same(found, drawn())
    assert len(list((tmp_path / "run").glob("site-*"))) == 3
    assert (tmp_path / "run" / "chain-0.position").stat().st_size == 2 * 61 * 2 * 4
