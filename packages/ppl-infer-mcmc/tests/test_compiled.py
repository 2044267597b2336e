"""Compiled leapfrogs are those of the sampler."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

import ppl.distributions as dist
import ppl.infer.mcmc.tiers as tiers
from ppl import settings
from ppl.errors import SiteError
from ppl.inductor import find_compiler
from ppl.infer.mcmc import MCMC, NUTS
from ppl.infer.mcmc.compiled import STEPS_IN_PROGRAM, CompiledStride
from ppl.infer.mcmc.sampler import STEPS_AT_ONCE
from ppl.primitives import sample

from .test_chains import chains

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")


def model():
    sample("y", dist.Normal(sample("x", dist.Normal(0.0, 2.0)), 1.0), obs=torch.tensor(1.5))


def run_nuts(jit_compile, num_samples=100, seed=0):
    torch.manual_seed(seed)
    kernel = NUTS(model, jit_compile=jit_compile)
    mcmc = MCMC(kernel, num_samples, num_chains=3, disable_progbar=True)
    mcmc.run()
    return mcmc


@needs_compiler
def test_compiled_leapfrogs_equal_plain_ones_through_warm_up_and_sampling():
    run = chains("nuts", 4, warmup=20, num_draws=10)
    compiled = CompiledStride(run.sampler, run.state, run.stream.peek(STEPS_AT_ONCE))
    with torch.no_grad():
        while not run.done:
            noise = run.stream.next(STEPS_IN_PROGRAM)
            expected = run.sampler.stride(run.state, noise)
            # float64: rounding decides no comparison in a run this short
            assert_close(
                tree_leaves(compiled(run.state, noise)), tree_leaves(expected), equal_nan=True
            )
            run.state = run.sampler.decide(expected[0], type(noise)(*(n[-1] for n in noise)))


@needs_compiler
def test_a_compiled_run_is_repeated_by_its_seed():
    one, other, third = (run_nuts(True, seed=seed).get_samples()["x"] for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


@pytest.mark.parametrize("tier,num_samples", [("graph", 600), ("auto", 40)])
def test_what_is_short_or_shall_not_be_is_not_compiled(monkeypatch, tier, num_samples):
    compiled = []
    monkeypatch.setattr(tiers, "CompiledStride", lambda *args: compiled.append(args))
    with settings.context(mcmc_tier=tier):
        run_nuts(False, num_samples)
    assert not compiled


def test_a_long_run_is_compiled_and_a_failing_compiler_costs_a_warning(monkeypatch):
    def fail(*args):
        raise RuntimeError("no space left")

    monkeypatch.setattr(tiers, "find_compiler", lambda: "c++")
    monkeypatch.setattr(tiers, "CompiledStride", fail)
    with pytest.warns(UserWarning, match="without compilation.*no space left"):
        mcmc = run_nuts(False, 500)
    assert mcmc.get_samples()["x"].shape == (1500,)


def test_an_unknown_tier_is_refused():
    with pytest.raises(SiteError, match="'fast'"):
        settings.set(mcmc_tier="fast")
