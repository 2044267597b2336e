"""Chains are independent, have a fixed number of draws, stand still afterwards, and resume."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves, tree_map

from ppl.engine import record
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains, Checkpoint
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.transition.hmc_transition import FixedLength
from ppl.infer.mcmc.transition.noise import NoiseStream
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn

from .targets import FUNNEL, HEAVY, generator

MACHINES = {"nuts": NoUTurn, "hmc": lambda f: FixedLength(f, 2.0)}


def potential_and_grad(z):
    """Neal's funnel by elementwise operations: a chain's numbers do not depend on the batch."""
    v, x = z[:, 0], z[:, 1]
    potential = 0.5 * v * v + 0.5 * x * x * torch.exp(-v) + 0.5 * v
    gradient = torch.stack((v - 0.5 * x * x * torch.exp(-v) + 0.5, x * torch.exp(-v)), -1)
    return potential, gradient


def chains(kind, num_chains, warmup=60, num_draws=30, first=0, full_mass=False):
    start = FUNNEL.draw(8, generator(0))[first : first + num_chains]
    machine = MACHINES[kind](potential_and_grad)
    sampler = Sampler(machine, Warmup(warmup, full_mass=full_mass), num_draws)
    return Chains(sampler, start, 0.5, seeds=range(first, first + num_chains))


@pytest.mark.parametrize("kind", MACHINES)
def test_a_chain_is_the_same_alone_and_among_others(kind):
    together = chains(kind, 8)
    together.run()
    for i in (0, 5):
        alone = chains(kind, 1, first=i)
        alone.run()
        assert_close(alone.record.draws[0], together.record.draws[i], rtol=0, atol=0)


@pytest.mark.parametrize("full_mass", [False, True])
@pytest.mark.parametrize("kind", MACHINES)
def test_every_chain_makes_all_its_transitions_and_no_more(kind, full_mass):
    run = chains(kind, 8, full_mass=full_mass)
    run.run()
    assert run.record.draws.shape == (8, 30, 2)
    assert (run.state.iteration == 90).all()
    assert (run.record.field("num_steps") >= 1).all()
    assert run.record.draws.isfinite().all()


@pytest.mark.parametrize("kind", MACHINES)
def test_a_chain_with_all_its_draws_stands_still(kind):
    run = chains(kind, 8, warmup=40, num_draws=20)
    frozen, others_moved = {}, False
    while not run.done:
        run.leap()
        for i in (run.state.iteration == 60).nonzero().flatten().tolist():
            leaves = [leaf[i].clone() for leaf in tree_leaves(run.state)]
            others_moved |= i in frozen
            before = frozen.setdefault(i, leaves)
            assert all(map(torch.equal, before, leaves))
    assert others_moved


@pytest.mark.parametrize("kind", MACHINES)
def test_the_same_seeds_give_the_same_draws_and_others_do_not(kind):
    runs = [chains(kind, 4) for _ in range(2)]
    other = chains(kind, 4)
    other.stream = NoiseStream(range(100, 104), other.record.draws[:, 0])
    for run in (*runs, other):
        run.run()
    assert torch.equal(runs[0].record.draws, runs[1].record.draws)
    assert not torch.equal(runs[0].record.draws, other.record.draws)


@pytest.mark.parametrize("num_leapfrogs", [1, 37, 300])
@pytest.mark.parametrize("kind", MACHINES)
def test_a_run_that_was_saved_at_any_leapfrog_resumes_with_the_same_draws(kind, num_leapfrogs):
    whole = chains(kind, 4)
    for _ in range(num_leapfrogs):
        whole.leap()
    saved = pickle.dumps(whole.save())
    whole.run()
    resumed = chains(kind, 4)
    resumed.load(Checkpoint(*pickle.loads(saved)))
    resumed.run()
    assert torch.equal(whole.record.draws, resumed.record.draws)
    assert torch.equal(whole.record.fields[:, :-1], resumed.record.fields[:, :-1])


def test_a_checkpoint_is_made_of_tensors_only():
    assert all(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(chains("nuts", 2).save()))


@pytest.mark.parametrize("full_mass", [False, True])
@pytest.mark.parametrize("warming", [False, True])
@pytest.mark.parametrize("kind", MACHINES)
def test_a_whole_step_can_be_recorded_as_one_tensor_program(kind, warming, full_mass):
    run = chains(kind, 4, full_mass=full_mass)
    # at the start a tensor is in several places, which a recording would take for a rule
    state = tree_map(torch.clone, run.state)
    program = record(
        lambda s, n: run.sampler.stride(s, n, warming), state, run.stream.draw(run.stream.next(2))
    )
    for _ in range(40):
        noise = run.stream.draw(run.stream.next(2))
        (replayed, records), (state, expected) = (
            program(state, noise),
            run.sampler.stride(state, noise, warming),
        )
        assert_close(tree_leaves(replayed), tree_leaves(state), equal_nan=True)
        assert_close(tree_leaves(records), tree_leaves(expected), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", MACHINES)
def test_the_dtype_of_positions_is_kept(kind, dtype):
    start = HEAVY.draw(3, generator(0)).to(dtype)
    machine = MACHINES[kind](HEAVY.potential_and_grad)
    run = Chains(Sampler(machine, Warmup(30), 5), start, 0.5, seeds=range(3))
    run.run()
    assert {leaf.dtype for leaf in tree_leaves(run.state) if leaf.is_floating_point()} == {dtype}
    assert run.record.draws.dtype == dtype


def broken(where):
    """A normal whose potential, or gradient, is not a number to the right of two."""

    def potential_and_grad(z):
        bad = z > 2.0
        potential = 0.5 * (z * z).sum(-1)
        if where == "gradient":
            return potential, z.masked_fill(bad, torch.nan)
        return potential.masked_fill(bad.any(-1), {"nan": torch.nan, "inf": torch.inf}[where]), z

    return potential_and_grad


@pytest.mark.parametrize("where", ["nan", "inf", "gradient"])
@pytest.mark.parametrize("kind", MACHINES)
def test_what_is_not_finite_is_a_divergence_and_never_a_draw(kind, where):
    start = torch.zeros(4, 1, dtype=torch.float64)
    sampler = Sampler(MACHINES[kind](broken(where)), Warmup(0), 300)
    run = Chains(sampler, start, 0.6, seeds=range(4))
    run.run()
    assert (run.record.draws <= 2.0).all()
    assert run.record.field("diverging").any()
    assert run.record.draws.std() > 0.5


@pytest.mark.parametrize("kind", MACHINES)
def test_a_trajectory_ends_where_it_diverges(kind):
    """Also where every trajectory diverges, and adaptation makes the step ever smaller."""

    def nowhere_else(z):
        return 0.5 * (z * z).sum(-1).masked_fill((z != 0).any(-1), torch.nan), z

    start = torch.zeros(4, 1, dtype=torch.float64)
    run = Chains(Sampler(MACHINES[kind](nowhere_else), Warmup(40), 10), start, 0.5, range(4))
    for _ in range(50):
        run.leap()
    assert run.done
    assert (run.record.field("num_steps") == 1).all()
    assert run.record.field("diverging").all()
    assert (run.record.draws == 0).all()
