"""What users choose of the warm-up, and what they keep of it."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ArgumentError, NotRunError, PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.primitives import plate, sample

SCALES = torch.tensor([0.1, 1.0, 10.0])


def model():
    with plate("scales", 3):
        sample("x", dist.Normal(0.0, SCALES))


def run(kernel, num_samples=20, warmup_steps=40, **options):
    torch.manual_seed(0)
    mcmc = MCMC(kernel, num_samples, warmup_steps, disable_progbar=True, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(.|\\n)*effective sample size", PPLWarning)
        mcmc.run()
    return mcmc


def variances(kernel):
    inverse = kernel.state_dict()["inverse_mass_matrix"]
    return inverse if inverse.dim() == 2 else inverse.diagonal(dim1=-2, dim2=-1)


@pytest.mark.parametrize("kind", [HMC, NUTS])
@pytest.mark.parametrize("adapt", ["diag", "low_rank"])
def test_metrics_from_gradients_are_exact_for_independent_normals(kind, adapt):
    options = {"num_steps": 3} if kind is HMC else {}
    kernel = kind(model, adapt=adapt, **options)
    run(kernel, num_chains=2)
    assert_close(variances(kernel), (SCALES**2).expand(2, 3), rtol=1e-3, atol=0.0)


def test_the_default_is_diagonal_from_gradients_and_dense_where_full_mass_is_given():
    named = {NUTS(model).adapt, NUTS(model, full_mass=False).adapt}
    assert named == {"diag"}
    assert {NUTS(model, full_mass=full).adapt for full in (True, [("x",)])} == {"dense"}
    default, dense = NUTS(model), NUTS(model, full_mass=True)
    for kernel, name in ((default, "diag"), (dense, "dense")):
        other = NUTS(model, adapt=name)
        assert torch.equal(run(kernel).get_samples()["x"], run(other).get_samples()["x"])
        assert str(kernel.adapt) == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapt": "lowrank"}, "low_rank"),
        ({"adapt": "diag", "full_mass": True}, "full_mass"),
        ({"adapt": "low_rank", "full_mass": [("x",)]}, "full_mass"),
    ],
)
def test_names_that_contradict_or_do_not_exist_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        NUTS(model, **options)


@pytest.mark.parametrize("adapt", ["diag", "low_rank"])
@pytest.mark.parametrize("num_chains", [1, 3])
def test_a_run_goes_on_from_a_saved_one_without_warm_up(num_chains, adapt, tmp_path):
    first = NUTS(model, adapt=adapt)
    last = run(first, num_chains=num_chains).get_samples(group_by_chain=True)["x"][:, -1]
    torch.save(first.state_dict(), tmp_path / "kernel.pt")
    state = torch.load(tmp_path / "kernel.pt", weights_only=True)
    assert torch.equal(state["initial_params"]["x"], last)
    again = NUTS(model, adapt=adapt)
    again.load_state_dict(state)
    mcmc = run(again, warmup_steps=0, num_chains=num_chains)
    after = again.state_dict()
    for name in ("step_size", "inverse_mass_matrix"):
        assert torch.equal(after[name], state[name])
    assert (mcmc.get_extra_fields()["step_size"] == state["step_size"][:, None]).all()
    fixed = NUTS(model, adapt=adapt, step_size=1e-6, adapt_step_size=False)
    fixed.load_state_dict({**state, "step_size": torch.full_like(state["step_size"], 1e-6)})
    near = run(fixed, 1, 0, num_chains=num_chains).get_samples(group_by_chain=True)["x"][:, 0]
    assert_close(near, last, rtol=1e-3, atol=1e-2)  # from where the chains were


def test_what_is_no_state_of_a_kernel_is_refused():
    with pytest.raises(NotRunError, match="before the first run"):
        NUTS(model).state_dict()
    for wrong in ({}, {"step_size": torch.ones(1)}, None):
        with pytest.raises(ArgumentError, match="inverse_mass_matrix"):
            NUTS(model).load_state_dict(wrong)


def test_a_few_chains_learn_together_if_they_are_told_to():
    together, alone = NUTS(model, cross_chain_adaptation=True), NUTS(model)
    for kernel in (together, alone):
        run(kernel, num_chains=3)
    assert len(together.step_size.unique()) == 1
    assert len(alone.step_size.unique()) == 3


def test_many_chains_learn_alone_if_they_are_told_to():
    kernel = NUTS(model, cross_chain_adaptation=False)
    run(kernel, 2, num_chains=16)
    assert len(kernel.step_size.unique()) == 16


def test_chains_one_after_another_cannot_learn_together_and_say_so():
    kernel = NUTS(model, cross_chain_adaptation=True)
    with pytest.warns(PPLWarning, match="learn alone"):
        run(kernel, num_chains=2, chain_method="sequential")
