"""A transition that starts at exact draws of the target ends at exact draws of the target.

Each test compares the first coordinate, and the potential energy, of independent chains before
(fresh exact draws) and after some transitions, by the two-sample Kolmogorov-Smirnov test.  With the
declared level and the number of tests below, all of them together raise a false alarm with a
probability of less than 1e-3; the seeds are fixed.
"""

from __future__ import annotations

import pytest
import torch
from scipy.stats import ks_2samp

from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.native import NativeStride
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.transition.hmc_transition import FixedLength
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn

from .targets import ALL, generator

CHAINS = 6000
LEVEL = 1e-6

MACHINES = {
    "multinomial": lambda f: NoUTurn(f, max_tree_depth=5),
    "slice": lambda f: NoUTurn(f, max_tree_depth=5, multinomial=False),
    "shallow": lambda f: NoUTurn(f, max_tree_depth=2),
    "fixed length": lambda f: FixedLength(f, 2.0),
}


def transitions(target, machine, step_size, num_transitions, make_stride=lambda *_: None):
    start = target.draw(CHAINS, generator(1))
    sampler = Sampler(machine(target.potential_and_grad), Warmup(0), num_transitions)
    stride = make_stride(sampler, start)
    chains = Chains(sampler, start, step_size, seeds=range(CHAINS), stride=stride)
    chains.run()
    return chains.record.draws[:, -1]


@pytest.mark.parametrize("step_size", [0.3, 1.1])
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("target", ALL, ids=str)
def test_a_transition_leaves_the_target_invariant(target, machine, step_size):
    check_invariance(target, transitions(target, MACHINES[machine], step_size, 2))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("target", ALL, ids=str)
def test_a_transition_in_cpp_leaves_the_target_invariant(target, machine):
    check_invariance(target, transitions(target, MACHINES[machine], 0.9, 2, NativeStride))


def check_invariance(target, draws):
    exact = target.draw(CHAINS, generator(2))
    assert ks_2samp(draws[:, 0], exact[:, 0]).pvalue > LEVEL
    potential, exact_potential = (target.potential_and_grad(x)[0] for x in (draws, exact))
    assert ks_2samp(potential, exact_potential).pvalue > LEVEL


@pytest.mark.parametrize("machine", MACHINES)
def test_chains_forget_where_they_started(machine):
    target = ALL[0]
    machine = MACHINES[machine](target.potential_and_grad)
    start = torch.full((CHAINS, 1), 3.0, dtype=torch.float64)
    chains = Chains(Sampler(machine, Warmup(0), 20), start, 0.4, seeds=range(CHAINS))
    chains.run()
    exact = target.draw(CHAINS, generator(2))
    assert ks_2samp(chains.record.draws[:, -1, 0], exact[:, 0]).pvalue > LEVEL
