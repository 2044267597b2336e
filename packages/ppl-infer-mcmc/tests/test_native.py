"""The leapfrogs in C++ are those of the sampler."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from ppl.cpp import find_compiler
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.native import NativeStride
from ppl.infer.mcmc.nuts import NoUTurn
from ppl.infer.mcmc.sampler import Sampler

from .targets import FUNNEL, generator
from .test_chains import MACHINES, potential_and_grad

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
CASES = {**MACHINES, "slice": lambda f: NoUTurn(f, 5, multinomial=False)}


def assert_same_run(run, num_rows=7):
    """Compare every stride of a run with that of the sampler itself, from the same state."""
    native = NativeStride(run.sampler, run.record.draws[:, 0])
    with torch.no_grad():
        while not run.done:
            noise = run.stream.next(num_rows)
            expected, trail = run.sampler.stride(run.state, noise)
            state, native_trail = native(run.state, noise)
            # float64: rounding decides no comparison in one stride
            assert_close(tree_leaves(state), tree_leaves(expected), equal_nan=True)
            assert torch.equal(native_trail.finished, trail.finished)
            done = trail.finished
            for one, other in zip(native_trail[1:], trail[1:], strict=True):
                assert_close(one[done], other[done])
            last = type(noise)(*(rows[-1] for rows in noise))
            run.state = run.sampler.decide(expected, last, trail)


@pytest.mark.parametrize("full_mass", [False, True])
@pytest.mark.parametrize("kind", CASES)
def test_native_leapfrogs_equal_plain_ones_through_warm_up_and_sampling(kind, full_mass):
    start = FUNNEL.draw(8, generator(0))
    sampler = Sampler(CASES[kind](potential_and_grad), Warmup(60, full_mass=full_mass), 20)
    assert_same_run(Chains(sampler, start, 0.5, seeds=range(8)))
