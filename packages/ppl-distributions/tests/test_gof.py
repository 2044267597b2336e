"""The tests of goodness of fit: calibrated when the density is right, sharp when it is wrong."""

import math

import pytest
import scipy.stats
import torch
from torch.distributions import (
    Beta,
    Chi2,
    Dirichlet,
    Exponential,
    FisherSnedecor,
    Gamma,
    Independent,
    Kumaraswamy,
    MultivariateNormal,
    Normal,
    Weibull,
)
from torch.testing import assert_close

from ppl.distributions.testing.gof import (
    InvalidTest,
    _filled,
    auto_goodness_of_fit,
    density_goodness_of_fit,
    exp_goodness_of_fit,
    get_nearest_neighbor_distances,
    multinomial_goodness_of_fit,
    print_histogram,
    unif01_goodness_of_fit,
    vector_density_goodness_of_fit,
    volume_of_sphere,
)

ALARM = 1e-6


def p_values(test, repeats=200):
    torch.manual_seed(0)
    return [test() for _ in range(repeats)]


def uniform():
    return unif01_goodness_of_fit(torch.rand(1000))


def exponential():
    return exp_goodness_of_fit(torch.empty(1000).exponential_())


def beta():
    dist = Beta(torch.tensor(2.0), torch.tensor(3.0))
    x = dist.sample((1000,))
    return density_goodness_of_fit(x, dist.log_prob(x).exp())


def plane():
    covariance = torch.tensor([[1.0, 0.8], [0.8, 2.0]], dtype=torch.float64)
    dist = MultivariateNormal(torch.zeros(2).double(), covariance)
    x = dist.sample((1000,))
    return vector_density_goodness_of_fit(x, dist.log_prob(x).exp())


def dice():
    probs = torch.tensor([0.1, 0.2, 0.3, 0.4])
    return multinomial_goodness_of_fit(probs, torch.distributions.Multinomial(1000, probs).sample())


@pytest.mark.parametrize("test", [uniform, exponential, beta, plane, dice])
def test_p_values_are_uniform_when_the_density_is_right(test):
    assert scipy.stats.kstest(p_values(test), "uniform").pvalue > ALARM


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_density_of_another_scale_is_found_out(dim):
    torch.manual_seed(0)
    x = torch.randn(10_000, dim).double()
    log_prob = Normal(0.0, 1.0).log_prob(x).sum(-1)
    assert auto_goodness_of_fit(x, log_prob.exp()) > ALARM
    assert auto_goodness_of_fit(x, Normal(0.0, 1.5).log_prob(x).sum(-1).exp()) < ALARM
    assert auto_goodness_of_fit(x, 1.2 * log_prob.exp()) < ALARM  # not normalized


def test_a_forgotten_correlation_is_found_out():
    torch.manual_seed(0)
    x = torch.randn(10_000, 2).double() @ torch.tensor([[1.0, 0.5], [0.0, 1.0]]).double()
    marginals = Normal(torch.zeros(2), torch.tensor([1.0, math.sqrt(1.25)]))
    assert auto_goodness_of_fit(x, marginals.log_prob(x).sum(-1).exp()) < ALARM


def test_draws_on_a_manifold_have_its_dimension():
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.rand(5000).double()
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    density = torch.full((5000,), 1 / (2 * math.pi)).double()
    assert auto_goodness_of_fit(circle, density, dim=1) > ALARM
    assert auto_goodness_of_fit(circle, density) < ALARM


def test_the_chi_squared_test_equals_scipy():
    counts, probs = torch.tensor([18.0, 55.0, 27.0]), torch.tensor([0.2, 0.5, 0.3])
    want = scipy.stats.chisquare(counts.numpy(), 100 * probs.double().numpy()).pvalue
    assert multinomial_goodness_of_fit(probs, counts) == pytest.approx(want, rel=1e-5)
    truncated = multinomial_goodness_of_fit(probs[:2], counts[:2], total_count=100)
    assert truncated == pytest.approx(want, rel=1e-5)


def test_an_impossible_outcome_has_no_chance():
    assert (
        multinomial_goodness_of_fit(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([5, 5, 1])) == 0.0
    )


def test_distances_are_those_to_the_nearest_other_draw():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    want = torch.cdist(x, x).fill_diagonal_(math.inf).amin(1)
    assert_close(get_nearest_neighbor_distances(x), want)


@pytest.mark.parametrize("dim, volume", [(1, 4.0), (2, 4 * math.pi), (3, 32 / 3 * math.pi)])
def test_volumes_of_balls(dim, volume):
    assert_close(volume_of_sphere(dim, torch.tensor(2.0)), torch.tensor(volume))


@pytest.mark.parametrize(
    "test",
    [
        lambda: unif01_goodness_of_fit(torch.tensor([0.5, 1.5] * 100)),
        lambda: unif01_goodness_of_fit(torch.rand(19)),
        lambda: unif01_goodness_of_fit(torch.full((100,), math.nan)),
        lambda: exp_goodness_of_fit(-torch.ones(100)),
        lambda: density_goodness_of_fit(torch.rand(100), torch.rand(99)),
        lambda: vector_density_goodness_of_fit(torch.rand(100, 2), torch.rand(99)),
        lambda: multinomial_goodness_of_fit(torch.ones(2), torch.ones(3)),
        lambda: multinomial_goodness_of_fit(torch.tensor([-0.5, 1.5]), torch.ones(2)),
        lambda: multinomial_goodness_of_fit(torch.ones(1), torch.ones(1)),
    ],
)
def test_what_cannot_be_tested_is_said_to_be_so(test):
    with pytest.raises(InvalidTest) as error:
        test()
    assert isinstance(error.value, ValueError)


def test_a_plot_prints_the_histogram(capsys):
    print_histogram(torch.tensor([0.5, 0.5]), torch.tensor([10, 20]))
    want = capsys.readouterr().out
    multinomial_goodness_of_fit(torch.tensor([0.5, 0.5]), torch.tensor([10, 20]), plot=True)
    assert capsys.readouterr().out == want
    assert want.count("*") == 90
    assert density_goodness_of_fit(*exponential_draws(), plot=True) > ALARM
    assert capsys.readouterr().out.count("\n") == 101


def exponential_draws():
    dist = Exponential(torch.tensor(2.0))
    torch.manual_seed(0)
    x = dist.sample((2000,))
    return x, dist.log_prob(x).exp()


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


HALF, NEAR_0 = f64(0.5).squeeze(), f64(0.05).squeeze()
UNBOUNDED = {  # the density of each, and another that its draws do not follow
    "arcsine": (Beta(HALF, HALF), Beta(HALF, 0.5 * HALF)),
    "Beta, steep": (Beta(2 * NEAR_0, HALF), Beta(3 * NEAR_0, HALF)),
    "Gamma": (Gamma(0.6 * HALF, 1.0), Gamma(HALF, 0.3)),
    "Gamma, steep": (Gamma(NEAR_0, 1.0), Gamma(2 * NEAR_0, 1.0)),
    "Chi2": (Chi2(2 * HALF), Chi2(4 * HALF)),
    "Weibull": (Weibull(1.0, HALF), Weibull(1.0, 2 * HALF)),
    "Kumaraswamy": (Kumaraswamy(HALF, 0.6 * HALF), Kumaraswamy(HALF, HALF)),
    "F": (FisherSnedecor(2 * HALF, 6 * HALF), FisherSnedecor(4 * HALF, 6 * HALF)),
    "an edge": (Dirichlet(f64(3.2, 1.2, 0.4)), Dirichlet(f64(1.2, 3.2, 0.4))),
    "another edge": (Dirichlet(f64(0.6, 2.0, 3.0)), Dirichlet(f64(0.6, 3.0, 3.0))),
    "all edges": (Dirichlet(f64(0.7, 0.7, 0.7)), Dirichlet(f64(0.7, 0.7, 1.4))),
    "a tetrahedron": (Dirichlet(f64(0.8, 1.0, 2.0, 2.0)), Dirichlet(f64(0.8, 1.0, 2.0, 4.0))),
    "a corner": (
        Independent(Beta(f64(0.7, 0.9), f64(1.0, 2.0)), 1),
        Independent(Beta(f64(0.7, 0.9), f64(1.0, 4.0)), 1),
    ),
}
STEEP = {
    "all edges": Dirichlet(f64(0.2, 0.2, 0.2)),
    "a tetrahedron": Dirichlet(f64(0.5, 0.5, 0.5, 0.5)),
    "a corner": Independent(Gamma(f64(0.3, 0.3), 1.0), 1),
    "a pole": Gamma(f64(0.01).squeeze(), 1.0),
}


def p_value(draws_of, density_of, num_draws):
    torch.manual_seed(0)
    x = draws_of.sample((num_draws,))
    coordinates = x[:, :-1] if isinstance(draws_of, Dirichlet) else x
    return auto_goodness_of_fit(coordinates, density_of.log_prob(x).exp())


@pytest.mark.parametrize("num_draws", [1000, 20_000])
@pytest.mark.parametrize("case", [*UNBOUNDED.values()], ids=[*UNBOUNDED])
def test_draws_of_an_unbounded_density_pass(case, num_draws):
    assert p_value(case[0], case[0], num_draws) > ALARM


@pytest.mark.parametrize("num_draws", [1000, 20_000])
@pytest.mark.parametrize("steep", STEEP.values(), ids=[*STEEP])
def test_draws_of_a_steep_density_pass(steep, num_draws):
    assert p_value(steep, steep, num_draws) > ALARM


@pytest.mark.parametrize("case", [*UNBOUNDED.values()], ids=[*UNBOUNDED])
def test_draws_of_another_law_than_an_unbounded_density_are_found_out(case):
    assert p_value(case[1], case[0], 20_000) < ALARM


@pytest.mark.parametrize("case", [*UNBOUNDED.values()], ids=[*UNBOUNDED])
def test_an_unbounded_density_that_is_not_normalized_is_found_out(case):
    right, _ = case
    torch.manual_seed(0)
    x = right.sample((20_000,))
    coordinates = x[:, :-1] if isinstance(right, Dirichlet) else x
    assert auto_goodness_of_fit(coordinates, 1.5 * right.log_prob(x).exp()) < ALARM


def test_unknown_draws_count_where_they_fit_best():
    assert_close(_filled(torch.tensor([5, 1, 2]), 4), f64(5.0, 3.5, 3.5))
    assert_close(_filled(torch.tensor([5, 1, 2]), 0), torch.tensor([5, 1, 2]))
    assert_close(_filled(torch.tensor([5, 1, 2]), 13), f64(7.0, 7.0, 7.0))
