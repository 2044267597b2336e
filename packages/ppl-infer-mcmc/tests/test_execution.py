"""A run may be executed in several ways; the user is told when it is not the one they want."""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves

import ppl.distributions as dist
import ppl.infer.mcmc.chains.execution as execution
from ppl import settings
from ppl.engine import inductor
from ppl.engine.cpp_library import find_compiler
from ppl.errors import SiteError
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.primitives import sample

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")


def model():
    sample("y", dist.Normal(sample("x", dist.Normal(0.0, 2.0)), 1.0), obs=torch.tensor(1.5))


def run_nuts(num_samples=100, seed=0, kernel=NUTS, **options):
    torch.manual_seed(seed)
    mcmc = MCMC(kernel(model, **options), num_samples, num_chains=3, disable_progbar=True)
    mcmc.run()
    return mcmc.get_samples()["x"]


@needs_compiler
@pytest.mark.parametrize("kernel", [HMC, NUTS])
@pytest.mark.parametrize("mode", execution.MODES)
def test_every_mode_samples_the_posterior(mode, kernel):
    options = {"trajectory_length": 2.0} if kernel is HMC else {}
    with settings.context(mcmc_execution=mode):
        x = run_nuts(300, kernel=kernel, **options)
    assert abs(float(x.mean()) - 1.2) < 0.2  # more than four standard errors at 400 effective draws
    assert abs(float(x.std()) - 0.8**0.5) < 0.15


@pytest.mark.parametrize("mode", execution.MODES)
def test_data_in_another_precision_than_the_sites_are_sampled_all_the_same(mode):
    def mixed():
        x = sample("x", dist.Normal(torch.tensor(0.0), 2.0))
        sample("y", dist.Normal(x, 1.0), obs=torch.tensor(1.5, dtype=torch.float64))

    torch.manual_seed(0)
    with settings.context(mcmc_execution=mode):
        mcmc = MCMC(NUTS(mixed), 200, num_chains=3, disable_progbar=True)
        mcmc.run()
    x = mcmc.get_samples()["x"]
    assert x.dtype == torch.float32
    assert abs(float(x.mean()) - 1.2) < 0.25  # more than four standard errors


@needs_compiler
def test_a_compiled_run_is_repeated_by_its_seed():
    one, other, third = (run_nuts(seed=seed, jit_compile=True) for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


@pytest.mark.parametrize("mode,num_samples", [("graph", 300), ("eager", 10), ("auto", 40)])
def test_what_is_short_or_shall_not_be_is_not_compiled(monkeypatch, mode, num_samples):
    compiled = []
    monkeypatch.setattr("ppl.engine.program.compile_program", lambda *args: compiled.append(args))
    with settings.context(mcmc_execution=mode):
        run_nuts(num_samples)
    assert not compiled


def fail(*args):
    raise OSError("no space left")


def test_a_long_run_is_compiled_and_a_failing_compiler_costs_a_warning(monkeypatch):
    monkeypatch.setattr(execution, "find_compiler", lambda: "c++")
    monkeypatch.setattr("ppl.engine.program.compile_program", fail)
    monkeypatch.setattr(execution, "choose_stride", lambda *args: None)
    with pytest.warns(UserWarning, match="without compilation.*no space left"):
        assert run_nuts(300).shape == (900,)


def test_a_compiler_that_fails_on_the_sampler_costs_a_warning(monkeypatch):
    monkeypatch.setattr(execution, "find_compiler", lambda: "c++")
    monkeypatch.setattr(execution, "NativeStride", fail)
    with pytest.warns(UserWarning, match="without its C.*no space left"):
        assert run_nuts(20).shape == (60,)


def test_without_a_compiler_a_run_is_recorded_and_says_so_only_if_compilation_was_asked_for(
    monkeypatch, recwarn
):
    monkeypatch.setattr(execution, "find_compiler", lambda: None)
    run_nuts(20)
    assert not [w for w in recwarn if "compil" in str(w.message)]
    with pytest.warns(UserWarning, match="no C.* compiler"):
        run_nuts(20, jit_compile=True)


def test_a_compiler_that_is_wrong_is_not_believed_and_one_warning_says_so(monkeypatch):
    def wrong(program, *others):
        return lambda inputs: [1.01 * x for x in tree_leaves(program(*inputs))]

    monkeypatch.setattr(execution, "find_compiler", lambda: "c++")
    monkeypatch.setattr(execution, "choose_stride", lambda *args: None)
    monkeypatch.setattr(inductor, "_generated", type(inductor._generated)())
    monkeypatch.setattr(inductor, "_compile", wrong)
    with pytest.warns(UserWarning, match="without compilation.*other values") as seen:
        x = run_nuts(300)
    assert sum("compil" in str(w.message) for w in seen) == 1
    assert abs(float(x.mean()) - 1.2) < 0.2  # as for every mode


def test_an_unknown_mode_is_refused():
    with pytest.raises(SiteError, match="'fast'"):
        settings.set(mcmc_execution="fast")


def test_a_wait_for_the_compiler_is_announced_before_it_and_only_where_progress_is_shown(
    monkeypatch, capsys
):
    said = []

    def compiled(program, points, passes):
        said.append(capsys.readouterr().err)
        return program

    monkeypatch.setattr(execution, "find_compiler", lambda: "c++")
    monkeypatch.setattr(execution, "compiled", compiled)
    monkeypatch.setattr(execution, "choose_stride", lambda *args: None)
    for is_shown in (True, False):
        torch.manual_seed(0)
        kernel = NUTS(model, jit_compile=True)
        MCMC(kernel, 5, 5, num_chains=2, disable_progbar=not is_shown).run()
    assert "Compiling (about" in said[0] and "kept for next time" in said[0]
    assert "Compiling" not in said[-1]
