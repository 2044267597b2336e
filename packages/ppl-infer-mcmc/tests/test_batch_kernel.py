"""Kernels of strangers that advance many chains at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import ppl.distributions as dist
from ppl import settings
from ppl.engine.cpp_library import find_compiler
from ppl.infer.mcmc import HMC, MCMC, NUTS, BatchKernel, GradientKernel, RandomWalkKernel
from ppl.infer.mcmc.batch_kernel import is_batch_kernel
from ppl.infer.mcmc.transition.hmc_transition import FixedLength
from ppl.infer.mcmc.transition.machine import CPP, NativeTransition
from ppl.primitives import sample

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")


def model():
    sample("x", dist.Normal(3.0, 2.0))


class InPython:
    """Trajectories of fixed length without a twin in C++."""

    def __init__(self, potential_and_grad, length):
        self.potential_and_grad = potential_and_grad
        inner = FixedLength(potential_and_grad, length)
        self.start, self.step, self.restart = inner.start, inner.step, inner.restart


class Stranger(GradientKernel):
    def __init__(self, model, **options):
        super().__init__(model, step_size=0.7, **options)
        self.batches = []

    def transition(self, potential_and_grad, device):
        self.batches.append(potential_and_grad)
        return InPython(potential_and_grad, 2.1)


def run(kernel, num_chains=32, mode="auto", **options):
    torch.manual_seed(0)
    with settings.context(mcmc_execution=mode):
        mcmc = MCMC(kernel, 100, 100, num_chains=num_chains, disable_progbar=True, **options)
        mcmc.run()
    return mcmc.get_samples(group_by_chain=True)["x"]


@pytest.mark.parametrize("kernel", [HMC(model), NUTS(model), Stranger(model)], ids=repr)
def test_a_kernel_with_a_transition_runs_as_a_batch(kernel):
    assert isinstance(kernel, BatchKernel) and is_batch_kernel(kernel)


def test_what_draws_in_its_own_way_runs_draw_by_draw():
    class Doubling(HMC):
        def sample(self, params):
            return {name: 2 * x for name, x in super().sample(params).items()}

    assert not is_batch_kernel(Doubling(model))
    assert not is_batch_kernel(RandomWalkKernel(model))
    assert not is_batch_kernel(SimpleNamespace(setup=None, sample=None))


@pytest.mark.parametrize("num_chains", [2, 32])
@pytest.mark.parametrize("mode", ["graph", pytest.param("inductor", marks=needs_compiler)])
def test_all_chains_of_a_transition_without_a_twin_are_one_batch(num_chains, mode):
    kernel = Stranger(model)
    draws = run(kernel, num_chains, mode)
    assert len(kernel.batches) == 1
    assert draws.shape == (num_chains, 100)
    assert bool((draws.std(1) > 0.5).all())


@pytest.mark.parametrize("chain_method", ["vectorized", "sequential"])
def test_a_stranger_draws_what_the_same_transition_of_ours_draws(chain_method):
    ours = HMC(model, step_size=0.7, num_steps=3)
    found = run(Stranger(model), 3, "graph", chain_method=chain_method)
    torch.testing.assert_close(found, run(ours, 3, "graph", chain_method=chain_method))


@needs_compiler
def test_the_twin_of_a_stranger_draws_what_its_python_draws(tmp_path):
    source = tmp_path / "stranger.cpp"
    exports = "EXPORT(stranger_float, HMCState, float)\nEXPORT(stranger_double, HMCState, double)\n"
    source.write_text(f'#include "sampler.hpp"\n\n{exports}')

    class WithTwin(InPython):
        native_source, native_name = source, "stranger"
        native_settings = {"trajectory_length": 2.1}

    class Faster(Stranger):
        has_native_twin = True

        def transition(self, potential_and_grad, device):
            found = WithTwin(potential_and_grad, 2.1)
            assert isinstance(found, NativeTransition)
            return found

    assert (CPP / "sampler.hpp").exists()
    found = run(Faster(model), 2, "inductor", chain_method="sequential")
    ours = run(HMC(model, step_size=0.7, num_steps=3), 2, "inductor", chain_method="sequential")
    assert torch.equal(found, ours)
