"""The leapfrogs in C++ are those of the sampler."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from ppl.engine.cpp_library import find_compiler
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.native import NativeStride
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn

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
            expected, records = sampler.stride(run.state, run.stream.draw(steps))
            state, native_trail = native(run.state, steps)
            # float64: rounding decides no comparison in one stride
            assert_close(tree_leaves(state), tree_leaves(expected), equal_nan=True)
            assert torch.equal(native_trail.finished, records.finished)
            done = records.finished
            for one, other in zip(native_trail[1:], records[1:], strict=True):
                assert_close(one[done], other[done])
            run.state = sampler.adapt(expected, partial(run.stream.draw_last, steps), records)
    return run


@pytest.mark.parametrize("full_mass", [False, True])
@pytest.mark.parametrize("kind", CASES)
def test_native_leapfrogs_equal_plain_ones_through_warm_up_and_sampling(kind, full_mass):
    start = FUNNEL.draw(8, generator(0))
    sampler = Sampler(CASES[kind](potential_and_grad), Warmup(60, full_mass=full_mass), 20)
    assert_same_run(sampler, start)


@pytest.mark.parametrize("adapt", ["diag", "low_rank"])
@pytest.mark.parametrize("kind", MACHINES)
def test_native_chains_learn_from_gradients_as_plain_ones_do(kind, adapt):
    start = FUNNEL.draw(8, generator(0))
    warmup = Warmup(60, full_mass=adapt == "low_rank", adapt=adapt)
    assert_same_run(Sampler(MACHINES[kind](potential_and_grad), warmup, 20), start)


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
    assert_same_run(sampler, start, 0.6)
