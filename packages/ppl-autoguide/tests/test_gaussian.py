"""The normal guide with sparse precision: which components depend on which, exact posteriors."""

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError
from ppl.infer.autoguide import AutoGaussian, AutoLaplaceApproximation


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


ONE = torch.ones((), dtype=torch.float64)


def local():
    mu = ppl.sample("mu", dist.Normal(0 * ONE, ONE))
    with ppl.plate("rows", 3):
        z = ppl.sample("z", dist.Normal(torch.zeros(2).double(), ONE).to_event(1))
        w = ppl.sample("w", dist.Normal(mu + z.sum(-1), ONE))
        ppl.sample("y", dist.Normal(w, ONE), obs=torch.arange(3.0).double())


def crossed():
    with ppl.plate("rows", 2, dim=-2):
        a = ppl.sample("a", dist.Normal(0 * ONE, ONE))
    with ppl.plate("cols", 3, dim=-1):
        b = ppl.sample("b", dist.Normal(0 * ONE, ONE))
        with ppl.plate("rows_again", 2, dim=-2):
            ppl.sample("y", dist.Normal(a + b, ONE), obs=torch.randn(2, 3).double())


def series():
    x = 0 * ONE
    for t in range(5):
        x = ppl.sample(f"x_{t}", dist.Normal(x, ONE))
        ppl.sample(f"y_{t}", dist.Normal(x, ONE), obs=ONE)


def summed():
    with ppl.plate("rows", 3):
        z = ppl.sample("z", dist.Normal(0 * ONE, ONE))
    ppl.sample("y", dist.Normal(z.sum(), ONE), obs=ONE)


PROGRAMS = [
    (local, 3 * (1 + 2 + 3)),  # the first of z has mu before it, the second that too, w all three
    (series, 4),
    (summed, 3),
]


@pytest.mark.parametrize("program", [local, crossed, series, summed], ids=lambda p: p.__name__)
def test_the_family_contains_the_posterior_of_a_normal_model(program):
    exact = AutoLaplaceApproximation(program)
    exact.setup()
    optimizer = torch.optim.LBFGS(exact.parameters(), line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        latent = exact.layout.unpack(exact.loc)
        loss = -ppl.poutine.trace(ppl.condition(program, latent)).get_trace().log_prob_sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    posterior = exact.laplace_approximation().get_posterior()
    guide = AutoGaussian(program)
    guide.setup()
    # precision = L.T @ L with a lower L: from the last component on
    flipped = torch.linalg.cholesky(posterior.precision_matrix.flip(0, 1)).flip(0, 1).mT
    scale = flipped.diagonal().reciprocal()
    standard = flipped * scale  # of components with unit conditional deviations
    rows, columns = guide._places
    outside = standard.tril(-1).clone()
    outside[rows, columns] = 0
    assert_close(outside, torch.zeros_like(outside), atol=1e-6, rtol=0)
    with torch.no_grad():
        guide.loc.copy_(posterior.mean)
        guide.scale = scale.detach()
        guide.coefficients.copy_(standard[rows, columns])
    found = guide.get_posterior()
    assert_close(found.covariance_matrix, posterior.covariance_matrix, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("program", "count"), PROGRAMS, ids=lambda p: getattr(p, "__name__", p))
def test_parameters_are_as_many_as_the_dependencies(program, count):
    guide = AutoGaussian(program)
    guide.setup()
    assert guide.coefficients.numel() == count


def test_a_backend_that_is_not_there_is_refused():
    with pytest.raises(ArgumentError, match="'funsor'"):
        AutoGaussian(local, backend="funsor")
