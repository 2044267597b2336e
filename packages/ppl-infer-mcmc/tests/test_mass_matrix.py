"""Laws of mass matrices over blocks of sites, and what they learn from."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ArgumentTypeError, MissingSiteError, NotRunError, ShapeError, SiteError
from ppl.infer.mcmc import HMC, NUTS, ArrowheadMassMatrix, BlockMassMatrix
from ppl.ops.arrowhead import SymmArrowhead

from .targets import generator, normals
from .test_blocks import COVARIANCE, model
from .test_mcmc import run

DOUBLE = {"dtype": torch.float64}
SITES = {"a": (2,), "b": (), "c": (1, 2)}
BLOCKS = {("b", "a"): (3, 3), ("c",): (2,)}
MASSES = {"blocks": BlockMassMatrix, "arrowhead": ArrowheadMassMatrix}


def values(flat):
    """Values by site of a vector in the order b, a, c."""
    b, a, c = flat.split([1, 2, 2])
    return {name: x.reshape(SITES[name]) for name, x in (("a", a), ("b", b), ("c", c))}


def positions(n=400):
    order = torch.tensor([2, 0, 1, 3, 4])
    return (normals(n, 5, generator(0)) @ torch.linalg.cholesky(COVARIANCE).mT)[:, order]


def learnt(kind):
    mass = MASSES[kind]()
    mass.configure(BLOCKS, options=DOUBLE)
    draws = positions()
    for z, gradient in zip(draws, draws @ torch.linalg.inv(draws.mT.cov()), strict=True):
        mass.update(values(z), values(gradient))
    mass.end_adaptation()
    return mass


def inverse_of(mass):
    blocks = mass.inverse_mass_matrix.values()
    return torch.block_diag(*[x if x.dim() == 2 else x.diag() for x in blocks])


def shrunk(covariance, n=400):
    return (n * covariance + 5e-3 * torch.eye(5)) / (n + 5)


@pytest.mark.parametrize("kind", MASSES)
def test_velocities_momenta_and_normals_belong_to_one_mass(kind):
    mass = learnt(kind)
    inverse, sizes = inverse_of(mass), list(mass.mass_matrix_size.values())
    normal = torch.randn(5, generator=generator(1), **DOUBLE)
    unscaled = dict(zip(mass.mass_matrix_size, normal.split(sizes), strict=True))
    momentum = mass.scale(unscaled, values(normal))
    flat = torch.cat([momentum[name].flatten() for name in "bac"])
    assert {name: x.shape for name, x in momentum.items()} == SITES
    assert_close(flat @ inverse @ flat, normal @ normal)
    assert_close(mass.unscale(momentum), unscaled)
    assert_close(mass.kinetic_grad(momentum), values(inverse @ flat))


def test_a_block_mass_learns_the_covariance_of_the_positions():
    covariance = shrunk(positions().mT.cov())
    found = learnt("blocks").inverse_mass_matrix
    assert_close(found["b", "a"], covariance[:3, :3])
    assert_close(found[("c",)], covariance[3:, 3:].diagonal())


def test_an_arrowhead_mass_learns_the_covariance_of_the_gradients():
    draws = positions()
    precision = shrunk(torch.linalg.inv(draws.mT.cov()))
    mass = learnt("arrowhead")
    [(names, found)] = mass.mass_matrix.items()
    assert names == ("b", "a", "c")
    assert_close(found.top, precision[:3])
    assert_close(found.bottom_diag, precision[3:, 3:].diagonal())
    whole = torch.cat([precision[:3], torch.cat([precision[3:, :3], found.bottom_diag.diag()], 1)])
    assert_close(mass.inverse_mass_matrix[names], torch.linalg.inv(whole))


def test_an_arrowhead_that_is_not_positive_definite_is_reduced_to_its_diagonal():
    mass = ArrowheadMassMatrix()
    mass.configure({("a",): (1, 1), ("c",): (2,)})
    mass.mass_matrix = {("a", "c"): SymmArrowhead(torch.tensor([[1.0, 1, 1]]), torch.ones(2))}
    assert torch.equal(mass.inverse_mass_matrix["a", "c"], torch.eye(3))


@pytest.mark.parametrize(("kind", "inverse"), [("blocks", 4.0), ("arrowhead", 0.25)])
def test_a_mass_begins_as_a_multiple_of_the_unit_and_learns_only_if_it_shall(kind, inverse):
    mass = MASSES[kind](init_scale=4.0)
    mass.configure({("a",): (2,)}, adapt_mass_matrix=False, options=DOUBLE)
    for z in torch.eye(2):
        mass.update({"a": z}, {"a": z})
    mass.end_adaptation()
    assert_close(mass.inverse_mass_matrix[("a",)], torch.full((2,), inverse, **DOUBLE))


@pytest.mark.parametrize("kind", MASSES)
def test_mistakes_are_named(kind):
    mass = MASSES[kind]()
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        mass.configure({("a",): (2, 3)})
    with pytest.raises(SiteError, match="twice"):
        mass.configure({("a", "b"): (3,), ("a",): (2,)})
    mass.configure({("a", "b"): (3,)})
    with pytest.raises(MissingSiteError, match="'b'"):
        mass.kinetic_grad({"a": torch.zeros(2)})
    with pytest.raises(ArgumentTypeError, match="mass_matrix_adapter"):
        NUTS(model).mass_matrix_adapter = MASSES[kind]


# of a kernel


def test_full_mass_that_is_no_bool_and_no_list_is_refused():
    with pytest.raises(SiteError, match="full_mass needs tuples of site names.*None"):
        NUTS(model, full_mass=None)


@pytest.mark.parametrize(
    ("full_mass", "shapes"),
    [
        (False, {("a", "b", "c"): (5,)}),
        (True, {("a", "b", "c"): (5, 5)}),
        ([("c", "a")], {("c", "a"): (4, 4), ("b",): (1,)}),
    ],
)
@pytest.mark.parametrize("num_chains", [1, 3])
def test_a_kernel_shows_its_mass_by_blocks_and_begins_with_what_is_set(
    full_mass, shapes, num_chains
):
    kernel = NUTS(model, full_mass=full_mass)
    run(kernel, 4, 60, num_chains=num_chains)
    one = [5] * (2 if full_mass else 1)
    inverse = kernel.flat_inverse_mass_matrix.reshape(num_chains, *one).mean(0)
    adapter = kernel.mass_matrix_adapter
    assert {n: x.shape for n, x in adapter.inverse_mass_matrix.items()} == shapes
    other = HMC(model, num_steps=1, full_mass=full_mass)
    other.mass_matrix_adapter = adapter
    run(other, 4, 0)
    assert_close(other.flat_inverse_mass_matrix, inverse)
    assert_close(other.mass_matrix_adapter.inverse_mass_matrix, adapter.inverse_mass_matrix)


@pytest.mark.parametrize("where", ["adapter", "kernel"])
def test_a_chain_that_was_set_up_goes_on_with_the_mass_that_is_set(where):
    kernel = NUTS(model, adapt_mass_matrix=False)
    kernel.setup(0)
    owner = kernel.mass_matrix_adapter if where == "adapter" else kernel
    inverse = {("a", "b", "c"): torch.arange(1.0, 6.0)}
    owner.inverse_mass_matrix = inverse
    kernel.sample(kernel.initial_params)
    assert_close(kernel.inverse_mass_matrix, inverse)
    assert_close(kernel.mass_matrix_adapter.inverse_mass_matrix, inverse)


def test_a_chain_that_was_set_up_goes_on_with_the_step_size_that_is_set():
    kernel = NUTS(model, adapt_step_size=False)
    kernel.setup(0)
    kernel.step_size = 0.125
    kernel.sample(kernel.initial_params)
    assert kernel.fields()["step_size"] == 0.125


def test_there_is_no_mass_matrix_before_the_first_run():
    for kernel in (NUTS(model), NUTS(model, inverse_mass_matrix=torch.ones(5))):
        with pytest.raises(NotRunError, match="before the first run"):
            _ = kernel.mass_matrix_adapter
