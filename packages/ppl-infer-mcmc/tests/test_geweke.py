"""Every kernel draws parameters that belong to the data: joint tests, see `geweke`.

The seeds are fixed. There are some forty comparisons of level 1e-5, so that with another seed one
of them would raise a false alarm with a probability of less than 1e-3. Kernels with a mistake fail
by far.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch

import ppl.infer.mcmc.target.potential as potential
import ppl.infer.mcmc.transition.hmc_transition as hmc_transition
import ppl.infer.mcmc.transition.nuts_transition as nuts
from ppl import settings
from ppl.infer.mcmc import HMC, NUTS, Gibbs, RandomWalkKernel
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.execution import choose_stride
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.inputs import InputPotential
from ppl.infer.mcmc.slot import Slot
from ppl.infer.mcmc.target.target import Target
from ppl.poutine import condition

from .geweke import LEVEL, data, model, p_values, prior, replicated

CHAINS = 1000
REPLICATIONS = 400  # as one chain: a random walk in as many dimensions takes small steps
TURNS = 4
WALK = 400  # steps of a random walk between two data sets
TOGETHER = {
    "NUTS": partial(NUTS, max_tree_depth=4),
    "NUTS by slices": partial(NUTS, max_tree_depth=4, use_multinomial_sampling=False),
    "HMC": partial(HMC, trajectory_length=2.0),
}
ALONE = {
    "NUTS": partial(NUTS, step_size=0.2, max_tree_depth=4),
    "HMC": partial(HMC, step_size=0.2, trajectory_length=1.0),
    "RandomWalk": partial(RandomWalkKernel, init_step_size=0.025),
    "Gibbs": lambda model: Gibbs([(ALONE["NUTS"], ["loc"]), (ALONE["HMC"], ["scale"])], model),
}


def chains_together(make, step_size):
    """Run many chains, each with data of its own; return the p-values of the joint test."""
    torch.manual_seed(0)
    slot = Slot()
    kernel = make(condition(model, data=slot))
    params, y = prior(CHAINS), None
    slot["y"] = data(params)[0]
    target = Target.of_model(kernel.model, (slot["y"],), {}, None, kernel.init_strategy, 1, None)

    def of_one(position, inputs):
        with slot.holding(inputs):
            return target.potential(position)

    start = torch.stack((params["loc"], params["scale"].log()), -1)  # the layout sorts by name
    potential_and_grad = InputPotential(of_one, start, {"y": data(params)})
    assert potential_and_grad.is_recorded
    for turn in range(TURNS):
        y = data(params)
        potential_and_grad.inputs = {"y": y}
        machine = kernel.transition(potential_and_grad, start.device)
        sampler = Sampler(machine, Warmup(0), 1)
        seeds = range(turn * CHAINS, (turn + 1) * CHAINS)
        chains = Chains(sampler, start, step_size, seeds, choose_stride(sampler, start))
        chains.run()
        start = chains.record.draws[:, -1]
        params = {"loc": start[:, 0], "scale": start[:, 1].exp()}
    return p_values(params, y)


def one_chain(make, num_transitions):
    """Run one chain of all replications; return the p-values of the joint test."""
    torch.manual_seed(0)
    params = prior(REPLICATIONS)
    for _ in range(TURNS):
        y = data(params)
        kernel = make(replicated)
        kernel.initial_params = {"loc": params["loc"], "scale": params["scale"].log()}
        kernel.setup(0, y)
        draw = kernel.initial_params
        for _ in range(num_transitions):
            draw = kernel.sample(draw)
        constrained = kernel.constrain({name: x[None, None] for name, x in draw.items()})
        params = {name: x[0, 0] for name, x in constrained.items()}
    return p_values(params, y)


@pytest.mark.parametrize("step_size", [0.3, 0.8])
@pytest.mark.parametrize("mode", ["auto", "graph"])
@pytest.mark.parametrize("kernel", TOGETHER)
def test_chains_together_keep_the_joint_distribution(kernel, mode, step_size):
    with settings.context(mcmc_execution=mode):
        found = chains_together(TOGETHER[kernel], step_size)
    assert min(found.values()) > LEVEL, found


@pytest.mark.parametrize("kernel", ALONE)
def test_draw_by_draw_kernels_keep_the_joint_distribution(kernel):
    found = one_chain(ALONE[kernel], WALK if kernel == "RandomWalk" else 2)
    assert min(found.values()) > LEVEL, found


@pytest.mark.parametrize("kernel", TOGETHER)
def test_chains_without_the_jacobian_fail(kernel, monkeypatch):
    monkeypatch.setattr(potential, "log_slope", lambda transform, x, y: torch.zeros_like(x))
    assert chains_together(TOGETHER[kernel], 0.3)["scale"] < LEVEL


def test_a_random_walk_that_accepts_every_proposal_fails(monkeypatch):
    monkeypatch.setattr(RandomWalkKernel, "_evaluate", lambda self, position: torch.zeros(1))
    found = one_chain(ALONE["RandomWalk"], WALK)
    assert min(found.values()) < LEVEL, found


@pytest.mark.parametrize("module", [hmc_transition, nuts])
def test_a_step_that_takes_every_point_for_as_good_as_the_first_fails(module, monkeypatch):
    always = lambda energy, _: torch.zeros_like(energy).where(energy.isfinite(), torch.inf)  # noqa: E731
    monkeypatch.setattr(module, "energy_error", always)
    kernel = "HMC" if module is hmc_transition else "NUTS"
    with settings.context(mcmc_execution="graph"):
        found = chains_together(TOGETHER[kernel], 0.6)
    assert min(found.values()) < LEVEL, found
