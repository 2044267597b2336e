"""The leapfrogs in C++ are those of the sampler."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from ppl.cpp import find_compiler
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.machine import Noise
from ppl.infer.mcmc.native import CounterStream, NativeStride
from ppl.infer.mcmc.noise import StreamState
from ppl.infer.mcmc.nuts import NoUTurn
from ppl.infer.mcmc.sampler import Sampler

from .targets import FUNNEL, generator
from .test_chains import MACHINES, broken, potential_and_grad

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
CASES = {**MACHINES, "slice": lambda f: NoUTurn(f, 5, multinomial=False)}


def assert_same_run(sampler, start, step_size=0.5, num_steps=7):
    """Compare every stride of a run with that of the sampler itself, from the same state."""
    native = NativeStride(sampler, start)
    run = Chains(sampler, start, step_size, range(len(start)), native)
    with torch.no_grad():
        while not run.done:
            steps = run.stream.next(num_steps)
            rows = [run.stream.noise(steps, i) for i in range(num_steps)]
            noise = Noise(*map(torch.stack, zip(*rows, strict=True)))
            expected, trail = sampler.stride(run.state, noise)
            state, native_trail = native(run.state, steps)
            # float64: rounding decides no comparison in one stride
            assert_close(tree_leaves(state), tree_leaves(expected), equal_nan=True)
            assert torch.equal(native_trail.finished, trail.finished)
            done = trail.finished
            for one, other in zip(native_trail[1:], trail[1:], strict=True):
                assert_close(one[done], other[done])
            run.state = sampler.decide(expected, lambda last=rows[-1]: last, trail)
    return run


@pytest.mark.parametrize("full_mass", [False, True])
@pytest.mark.parametrize("kind", CASES)
def test_native_leapfrogs_equal_plain_ones_through_warm_up_and_sampling(kind, full_mass):
    start = FUNNEL.draw(8, generator(0))
    sampler = Sampler(CASES[kind](potential_and_grad), Warmup(60, full_mass=full_mass), 20)
    assert_same_run(sampler, start)


def test_the_noise_has_its_law_and_depends_on_seed_and_step_alone():
    like = torch.zeros(200, 50, dtype=torch.float64)
    stream = CounterStream(range(1000, 1200), like)
    steps = stream.next(40)
    normal, log_uniform = stream.noise(steps, 7)
    alone = CounterStream([1003], like[:1])
    assert torch.equal(alone.noise(alone.next(40), 7).normal[0], normal[3])
    rest = CounterStream([1003], like[:1])
    rest.restore(StreamState(torch.tensor([1003]), torch.tensor(7)))
    assert torch.equal(rest.noise(rest.next(), 0).log_uniform[0], log_uniform[3])
    every = [stream.noise(steps, i) for i in range(40)]
    normals = torch.stack([noise.normal for noise in every])
    uniforms = torch.stack([noise.log_uniform for noise in every]).exp()
    assert kstest(normals.flatten(), "norm").pvalue > 1e-4  # false alarms: 1 in 10 000, seed fixed
    assert kstest(uniforms.flatten(), "uniform").pvalue > 1e-4
    for pair in ((normals[1:], normals[:-1]), (normals[:, 1:], normals[:, :-1])):
        one, other = pair  # successive steps, neighbouring chains
        assert abs(float((one * other).mean())) < 5 / one.numel() ** 0.5
    assert abs(float((normals[..., 1:] * normals[..., :-1]).mean())) < 5 / normals.numel() ** 0.5


@pytest.mark.parametrize("kind", MACHINES)
def test_a_native_chain_is_the_same_alone_among_others_and_resumed(kind):
    start = FUNNEL.draw(8, generator(0))

    def run(first, number):
        sampler = Sampler(MACHINES[kind](potential_and_grad), Warmup(60), 30)
        some = start[first : first + number]
        return Chains(sampler, some, 0.5, range(first, first + number), NativeStride(sampler, some))

    together, alone, resumed = run(0, 8), run(5, 1), run(0, 8)
    together.run()
    alone.run()
    assert torch.equal(alone.record.draws[0], together.record.draws[5])
    half = run(0, 8)
    for _ in range(37):
        half.leap()
    resumed.load(half.save())
    half.run()
    resumed.run()
    assert torch.equal(resumed.record.draws, half.record.draws)


@pytest.mark.parametrize("kind", CASES)
def test_native_leapfrogs_diverge_as_plain_ones_do(kind):
    start = torch.zeros(8, 1, dtype=torch.float64)
    sampler = Sampler(CASES[kind](broken("nan")), Warmup(40), 60)
    run = assert_same_run(sampler, start, 0.6)
