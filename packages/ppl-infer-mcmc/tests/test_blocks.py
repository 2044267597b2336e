"""Mass matrices by blocks of sites, and tuning that is read, set and used again."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import MissingSiteError, ShapeError, SiteError, SupportError
from ppl.infer.layout import Layout
from ppl.infer.mcmc import HMC, NUTS
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.execution import choose_stride
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.target.blocks import block_mask, inverse_mass
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn
from ppl.primitives import sample

from .targets import generator, normals
from .test_mcmc import run

LAYOUT = Layout.of({"a": torch.zeros(2), "b": torch.zeros(()), "c": torch.zeros(2)})
A = torch.tensor(
    [[1.0, 0, 0, 0, 0], [2, 1, 0, 0, 0], [0, 0, 3, 0, 0], [1, 0, 0, 1, 0], [0, 0, 2, 0, 1]]
)
COVARIANCE = (A @ A.mT).double()  # of the sites a, b, c


def model():
    """Three sites with the covariance above."""
    z = sample("a", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    b = sample("b", dist.Normal(0.0, 3.0))
    sample("c", dist.Normal(torch.stack((z[0], b)), torch.ones(2)).to_event(1))


def position(chains=4, dim=5):
    return torch.zeros(chains, dim, dtype=torch.float64)


# which numbers a block couples


def test_one_block_of_every_site_couples_all_numbers():
    assert block_mask(LAYOUT, [("c", "a", "b")]).all()
    assert all(block_mask(LAYOUT, full_mass) is None for full_mass in (True, False, []))


def test_no_block_at_all_is_the_diagonal_metric():
    diagonal, no_block = (
        run(NUTS(model, full_mass=full_mass), 5, 30).get_samples() for full_mass in (False, [])
    )
    assert_close(no_block, diagonal, rtol=0.0, atol=0.0)


def block_run(together, num_draws=1):
    precision = torch.linalg.inv(COVARIANCE)

    def potential_and_grad(z):
        gradient = z @ precision
        return 0.5 * (z * gradient).sum(-1), gradient

    start = normals(64, 5, generator(0)) @ torch.linalg.cholesky(COVARIANCE).mT
    warmup = Warmup(300, full_mass=True, block_mask=together)
    sampler = Sampler(NoUTurn(potential_and_grad), warmup, num_draws)
    chains = Chains(sampler, start, 1.0, range(64), choose_stride(sampler, start))
    chains.run()
    return chains


def test_warm_up_finds_the_covariance_of_each_block_and_the_variances_of_the_rest():
    together = block_mask(LAYOUT, [("a",), ("c", "b")])
    inverse = block_run(together).state.tuning.metric.inverse
    assert (inverse[:, ~together] == 0).all()
    expected = 150 / 155 * COVARIANCE.where(together, 0.0)  # shrunk
    # 64 chains with 150 autocorrelated draws in the last window: a standard error below 3 % of the
    # product of two standard deviations
    sd = COVARIANCE.diagonal().sqrt()
    assert_close(inverse.mean(0) / sd.outer(sd), expected / sd.outer(sd), rtol=0.0, atol=0.12)


def test_draws_with_blocks_have_the_target_covariance():
    draws = block_run(block_mask(LAYOUT, [("a", "b")]), 100).record.draws.flatten(0, 1)
    whitened = draws @ torch.linalg.inv(torch.linalg.cholesky(COVARIANCE)).mT
    error = (whitened.mT @ whitened / len(draws) - torch.eye(5)) * len(draws) ** 0.5
    # standard errors of 1 and sqrt(2) for independent draws; squares are worth a third of these
    assert error.abs().max() < 5 * (2 * 3) ** 0.5
    assert (whitened.mean(0) * len(draws) ** 0.5).abs().max() < 5 * 3**0.5


def test_one_block_of_every_site_is_the_dense_metric():
    dense, block = (
        run(NUTS(model, full_mass=full_mass), 5, 30, num_chains=2).get_samples()
        for full_mass in (True, [("c", "a", "b")])
    )
    assert_close(block, dense, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("method", ["vectorized", "sequential", "hook"])
def test_a_kernel_adapts_the_blocks_that_it_is_given(method):
    how = {"hook_fn": lambda *_: None} if method == "hook" else {"chain_method": method}
    kernel = NUTS(model, full_mass=[("a", "c")])
    run(kernel, 5, 60, **how)
    together = block_mask(LAYOUT, [("a", "c")])
    assert torch.equal(kernel.flat_inverse_mass_matrix != 0, together)


@pytest.mark.parametrize(
    ("full_mass", "message"),
    [
        (["a", "b"], "tuples of site names"),
        ([("a", 1)], "tuples of site names"),
        ([("a", "b"), ("c", "a")], r"\['a'\] twice"),
        ([("a", "a")], r"\['a'\] twice"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(full_mass, message):
    with pytest.raises(SiteError, match=message):
        HMC(model, full_mass=full_mass)


def test_an_unknown_site_in_a_block_is_named_with_those_there_are():
    with pytest.raises(MissingSiteError, match=r"\['mu'\].*\['a', 'b', 'c'\]"):
        run(NUTS(model, full_mass=[("a", "mu")]), 5, 5)


# tuning that is given


def test_an_inverse_mass_by_blocks_puts_each_number_at_its_place():
    given = {("c", "a"): COVARIANCE[[3, 4, 0, 1]][:, [3, 4, 0, 1]]}
    found = inverse_mass(given, LAYOUT, position(), full_mass=True)
    together = block_mask(LAYOUT, [("a", "c")])
    expected = COVARIANCE.where(together, 0.0)
    expected[2, 2] = 1.0  # b is in no block
    assert_close(found, expected.expand(4, 5, 5))
    variances = {("b",): torch.tensor([9.0]), ("a",): torch.tensor([2.0, 3.0])}
    expected = torch.tensor([2.0, 3.0, 9.0, 1.0, 1.0], dtype=torch.float64)
    assert_close(inverse_mass(variances, LAYOUT, position(), False), expected.expand(4, 5))
    dense = inverse_mass(variances, LAYOUT, position(), True)
    assert_close(dense, expected.diag().expand(4, 5, 5))


@pytest.mark.parametrize("full_mass", [False, True])
@pytest.mark.parametrize("num_chains", [1, 3, 20])
def test_a_run_without_warm_up_begins_with_the_tuning_that_was_read_from_another(
    full_mass, num_chains
):
    learnt = NUTS(model, full_mass=full_mass)
    run(learnt, 5, 100, num_chains=num_chains)
    step_size, inverse = learnt.step_size, learnt.flat_inverse_mass_matrix
    again = NUTS(model, full_mass=full_mass, step_size=step_size, inverse_mass_matrix=inverse)
    mcmc = run(again, 20, 0, num_chains=num_chains)
    assert_close(torch.as_tensor(again.step_size), torch.as_tensor(step_size), rtol=0.0, atol=0.0)
    assert torch.equal(again.flat_inverse_mass_matrix, inverse)
    assert (mcmc.get_extra_fields()["step_size"].mT == torch.as_tensor(step_size)).all()
    learnt.step_size = step_size  # the mass matrix stays
    same = run(learnt, 20, 0, num_chains=num_chains)
    assert torch.equal(learnt.flat_inverse_mass_matrix, inverse)
    assert torch.equal(same.get_samples()["c"], mcmc.get_samples()["c"])


def test_what_is_set_is_read_and_is_what_the_next_run_begins_with():
    kernel = HMC(model, trajectory_length=1.0, full_mass=[("a", "c")])
    kernel.step_size = 0.25
    kernel.inverse_mass_matrix = torch.arange(1.0, 6.0)
    assert kernel.step_size == 0.25
    assert torch.equal(kernel.flat_inverse_mass_matrix, torch.arange(1.0, 6.0))
    mcmc = run(kernel, 5, 0, num_chains=2)
    assert torch.equal(
        kernel.flat_inverse_mass_matrix, torch.arange(1.0, 6.0).diag().expand(2, 5, 5)
    )
    assert (mcmc.get_extra_fields()["num_steps"] == 4).all()
    kernel.inverse_mass_matrix = {("b",): torch.tensor([[9.0]])}
    run(kernel, 5, 0, num_chains=2)
    assert_close(kernel.flat_inverse_mass_matrix[1].diagonal(), torch.tensor([1.0, 1, 9, 1, 1]))
    assert kernel.num_steps == 4


def test_momenta_belong_to_the_inverse_mass_that_is_given():
    """With a step size of nearly zero the kinetic energy of dim numbers has mean dim / 2."""
    kernel = HMC(
        model,
        step_size=1e-6,
        num_steps=1,
        inverse_mass_matrix=torch.logspace(-2, 2, 5),
    )
    fields = run(kernel, 400, 0).get_extra_fields()
    kinetic = (fields["energy"] - fields["potential_energy"]).double()
    z = (kinetic.mean() - 2.5) / (2.5 / 400) ** 0.5  # half a chi square variable
    assert abs(float(z)) < 4.5


def refused(given, is_dense=False, chains=4):
    return inverse_mass(given, LAYOUT, position(chains), is_dense)


@pytest.mark.parametrize(
    ("given", "is_dense", "message"),
    [
        (torch.ones(4), False, r"\(4,\).*needs \(5,\), or \(4, 5\).*a \(2,\), b \(\), c \(2,\)"),
        (torch.eye(5), False, r"\(5, 5\).*needs \(5,\).*full_mass=True"),
        (torch.ones(3, 5), False, r"\(3, 5\)"),
        (torch.eye(4), True, r"\(4, 4\).*needs \(5, 5\), or \(4, 5, 5\)"),
        ({("a", "b"): torch.eye(2)}, True, r"\('a', 'b'\).*\(2, 2\).*3 numbers.*\(3, 3\)"),
        ({("a", "b"): torch.eye(3)}, False, "full_mass=True"),
    ],
)
def test_an_inverse_mass_of_a_wrong_shape_is_refused_with_the_right_one(given, is_dense, message):
    with pytest.raises(ShapeError, match=message):
        refused(given, is_dense)


def test_an_inverse_mass_is_symmetric_and_positive_and_of_known_sites():
    lopsided = torch.eye(5)
    lopsided[0, 1] = 0.1
    for given in (-torch.eye(5), lopsided, torch.ones(5, 5)):
        with pytest.raises(SupportError, match="positive definite"):
            refused(given, is_dense=True)
    with pytest.raises(SupportError):
        refused(torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0]))
    with pytest.raises(MissingSiteError, match="mu"):
        refused({("mu",): torch.ones(1)})
    with pytest.raises(SiteError, match="twice"):
        refused({("a",): torch.ones(2), ("b", "a"): torch.ones(3)})


def test_rounding_does_not_make_an_inverse_mass_asymmetric():
    almost = COVARIANCE.float()
    almost[0, 1] *= 1 + 1e-5
    assert torch.equal(inverse_mass(almost, LAYOUT, position(1).float(), True)[0], almost)


def test_step_sizes_of_other_chains_are_refused():
    with pytest.raises(ShapeError, match=r"\(3,\), but 2 chains.*\(2,\)"):
        run(NUTS(model, step_size=torch.ones(3)), 5, 5, num_chains=2)
