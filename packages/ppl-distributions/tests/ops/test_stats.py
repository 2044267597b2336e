"""Laws of the statistics of draws, with ArviZ as the second implementation."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ppl.errors import PPLError, ShapeError, SupportError
from ppl.ops import stats

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # ArviZ announces its next major version
    import arviz


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def autoregressive(
    coefficient: float, chains: int = 4, draws: int = 500, seed: int = 0
) -> torch.Tensor:
    """A stationary AR(1) series with unit variance: its autocorrelation time is known."""
    steps = noise(chains, draws, seed=seed) * math.sqrt(1 - coefficient**2)
    values = [noise(chains, seed=seed + 1)]
    for step in steps.unbind(1):
        values.append(coefficient * values[-1] + step)
    return torch.stack(values[1:], 1)


DRAWS = {
    "independent": noise(4, 500),
    "sticky": autoregressive(0.95),
    "antithetic": autoregressive(-0.6),
    "cauchy": noise(4, 500) / noise(4, 500, seed=1),
    "shifted chain": noise(4, 500) + torch.tensor([0.0, 0.0, 0.0, 1.0])[:, None],
    "stretched chain": noise(4, 500) * torch.tensor([1.0, 1.0, 1.0, 4.0])[:, None],
    "trend": noise(4, 500) + torch.linspace(0, 3, 500),
    "counts": torch.poisson(torch.full((4, 500), 3.0, dtype=torch.float64), generator=generator()),
    "binary": (noise(4, 500) > 1).double(),
    "odd draws": autoregressive(0.5, draws=501),
    "whole quantile positions": autoregressive(0.5, chains=3, draws=667),
    "large offset": noise(4, 500) + 1e6,
    "two chains": noise(2, 100),
    "four draws": noise(4, 4),
    "five draws": noise(4, 5),
    "eleven draws": noise(4, 11),
    "a positive last pair that starts below zero": noise(2, 12, seed=153),
    "fifteen draws": autoregressive(0.9, draws=15),
}

# computed once with ArviZ 0.23.4, so that a change there is not taken for a change here
STORED = {
    # rhat, ess_bulk, ess_tail, ess_mean, mcse_mean, mcse_sd
    "independent": [
        0.9994695728,
        1909.285444,
        2002.328618,
        1907.454529,
        0.02276192809,
        0.01527864046,
    ],
    "sticky": [1.027408279, 81.55507821, 160.8402405, 80.94438942, 0.106908817, 0.04604451571],
    "antithetic": [
        1.002362206,
        6602.059991,
        1634.800605,
        6602.059991,
        0.01235928497,
        0.02510468799,
    ],
    "cauchy": [0.9999517407, 2207.720489, 1712.699728, 2014.627471, 1.834279443, 33.86687627],
    "shifted chain": [
        1.097997348,
        28.99093001,
        190.6353765,
        28.37263331,
        0.2031726816,
        0.02446208909,
    ],
    "stretched chain": [
        1.192772114,
        1650.214278,
        27.66368055,
        1709.832932,
        0.0535773654,
        0.7407343548,
    ],
    "counts": [0.999821494, 1962.840365, 1959.766994, 1983.522672, 0.03925248805, 0.02956672883],
    "odd draws": [1.000976626, 620.4542264, 1200.250493, 619.6559958, 0.03999001862, 0.0202183718],
}

PEERS = {
    "rhat": lambda draws: arviz.rhat(draws, method="rank"),
    "ess_bulk": lambda draws: arviz.ess(draws, method="bulk"),
    "ess_tail": lambda draws: arviz.ess(draws, method="tail"),
    "ess_mean": lambda draws: arviz.ess(draws, method="mean"),
    "ess_sd": lambda draws: arviz.ess(draws, method="sd"),
    "mcse_mean": lambda draws: arviz.mcse(draws, method="mean"),
    "mcse_sd": lambda draws: arviz.mcse(draws, method="sd"),
    "gelman_rubin": lambda draws: arviz.rhat(draws, method="identity"),
    "split_gelman_rubin": lambda draws: arviz.rhat(draws, method="split"),
    "effective_sample_size": lambda draws: arviz.ess(draws, method="identity"),
}
PER_COMPONENT = ["rhat", "ess_bulk", "ess_tail", "ess_mean", "ess_sd", "mcse_mean", "mcse_sd"]


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("case", DRAWS)
def test_every_statistic_equals_arviz(case, name):
    draws = DRAWS[case]
    expected = torch.tensor(float(PEERS[name](draws.numpy())), dtype=torch.float64)
    assert_close(getattr(stats, name)(draws), expected, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("case", STORED)
def test_every_statistic_equals_the_stored_number(case):
    names = ("rhat", "ess_bulk", "ess_tail", "ess_mean", "mcse_mean", "mcse_sd")
    got = torch.stack([getattr(stats, name)(DRAWS[case]) for name in names])
    assert_close(got, torch.tensor(STORED[case], dtype=torch.float64), rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", PER_COMPONENT)
def test_components_of_an_event_do_not_meet(name):
    cases = [DRAWS["independent"], DRAWS["sticky"], DRAWS["cauchy"], DRAWS["counts"]]
    event = torch.stack(cases, -1).unflatten(-1, (2, 2))  # (chain, draw, 2, 2)
    expected = torch.stack([getattr(stats, name)(case) for case in cases]).unflatten(0, (2, 2))
    assert_close(getattr(stats, name)(event), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", PER_COMPONENT)
def test_float32_draws_are_computed_in_float64(name):
    single = DRAWS["large offset"].float()
    assert_close(getattr(stats, name)(single), getattr(stats, name)(single.double()))


@pytest.mark.parametrize("name", PER_COMPONENT)
def test_a_missing_draw_makes_its_component_nan_and_no_other(name):
    draws = noise(4, 100, 2)
    draws[1, 3, 0] = math.nan
    got = getattr(stats, name)(draws)
    assert got.isnan().tolist() == [True, False]


@pytest.mark.parametrize("name", PER_COMPONENT)
def test_fewer_than_four_draws_a_chain_give_nan(name):
    assert getattr(stats, name)(noise(4, 3, 2)).isnan().tolist() == [True, True]


@pytest.mark.parametrize(
    "name, value",
    [
        ("rhat", math.nan),
        ("ess_bulk", 400.0),
        ("ess_tail", 400.0),
        ("ess_mean", 400.0),
        ("ess_sd", 400.0),
        ("mcse_mean", 0.0),
        ("mcse_sd", math.nan),
    ],
)
def test_constant_draws_give_what_arviz_gives(name, value):
    draws = torch.full((4, 100), 2.5, dtype=torch.float64)
    expected = torch.tensor(value, dtype=torch.float64)
    assert_close(getattr(stats, name)(draws), expected, equal_nan=True)
    with np.errstate(invalid="ignore"):
        peer = float(PEERS[name](draws.numpy()))
    assert_close(torch.tensor(peer, dtype=torch.float64), expected, equal_nan=True)


@pytest.mark.parametrize("name", ["rhat", "ess_bulk", "ess_tail"])
def test_ranks_make_a_statistic_blind_to_monotone_maps(name):
    # R-hat folds around the median, so it keeps its value under affine maps only
    mapped = DRAWS["sticky"] * 3 - 1 if name == "rhat" else DRAWS["sticky"].exp()
    assert_close(getattr(stats, name)(mapped), getattr(stats, name)(DRAWS["sticky"]))


@pytest.mark.parametrize("name", ["ess_mean", "ess_sd", "rhat"])
def test_the_scale_of_the_draws_does_not_matter(name):
    tiny = DRAWS["sticky"] * 1e-30
    assert_close(getattr(stats, name)(tiny), getattr(stats, name)(DRAWS["sticky"]))


def test_one_chain_is_compared_with_itself():
    steady, moving = noise(1, 1000), noise(1, 1000) + torch.linspace(0, 3, 1000)
    assert stats.rhat(steady) < 1.01 < 1.1 < stats.rhat(moving)


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.5, 0.9])
def test_effective_sample_size_finds_the_autocorrelation_time(coefficient):
    draws = autoregressive(coefficient, chains=8, draws=20_000)
    time = (1 + coefficient) / (1 - coefficient)
    # an estimated time has a relative error near sqrt(2 (2 M + 1) / n) with the window M = 5 times
    # the time (Sokal 1997): four of them, a false alarm in 2e4 seeds
    tolerance = 4 * math.sqrt(2 * (10 * max(time, 1) + 1) / draws.numel())
    assert abs(stats.ess_mean(draws) * time / draws.numel() - 1) < tolerance


def test_mcse_mean_is_the_spread_of_repeated_means():
    runs = torch.stack([autoregressive(0.5, 1, 1000, seed=2 * run) for run in range(200)], -1)
    spread, claimed = runs.mean((0, 1)).std(), stats.mcse_mean(runs).mean()
    # a standard deviation of 200 means has a relative error of 1 / sqrt(400): four of them, 6e-5
    assert abs(claimed / spread - 1) < 4 / math.sqrt(400)


@pytest.mark.parametrize("name", ["gelman_rubin", "split_gelman_rubin", "effective_sample_size"])
@pytest.mark.parametrize("chain_dim, sample_dim", [(0, 1), (1, 0), (-1, 0), (2, -2)])
def test_chains_and_draws_are_found_at_their_dimensions(name, chain_dim, sample_dim):
    draws = torch.stack([DRAWS["sticky"], DRAWS["independent"]], -1)  # (4, 500, 2)
    moved = draws.movedim((0, 1), (chain_dim, sample_dim))
    statistic = getattr(stats, name)
    assert_close(statistic(moved, chain_dim, sample_dim), statistic(draws))


@pytest.mark.parametrize("name", ["gelman_rubin", "split_gelman_rubin", "effective_sample_size"])
def test_the_classical_names_keep_the_dtype(name):
    assert getattr(stats, name)(noise(2, 50).float()).dtype == torch.float32


@pytest.mark.parametrize(
    "name, shape",
    [("gelman_rubin", (1, 10)), ("split_gelman_rubin", (2, 3)), ("effective_sample_size", (2, 1))]
    + [(name, (10,)) for name in PEERS],
)
def test_too_small_an_input_is_refused_with_its_size(name, shape):
    with pytest.raises(ShapeError, match=str(shape[-1])):
        getattr(stats, name)(noise(*shape))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("probs", [0.3, [0.0, 0.05, 0.5, 1.0], torch.tensor([0.2, 0.9])])
def test_quantile_equals_numpy(probs, dim):
    draws = noise(11, 7, 3)
    expected = np.quantile(draws.numpy(), np.asarray(probs, dtype=float), axis=dim)
    got = stats.quantile(draws, probs, dim)
    if np.ndim(probs):
        got = got.movedim(dim, 0)  # numpy puts the probabilities first
    assert_close(got, torch.from_numpy(np.asarray(expected)))


def test_quantile_of_equal_or_infinite_draws_is_exact():
    draws = torch.tensor([-math.inf, -math.inf, 0.1, 0.1, 0.1, math.inf])
    assert stats.quantile(draws, [0.0, 0.1, 0.5, 0.7, 1.0]).tolist() == pytest.approx(
        [-math.inf, -math.inf, 0.1, 0.1, math.inf]
    )


@pytest.mark.parametrize("interval", [stats.hpdi, stats.pi])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_an_interval_replaces_the_dimension_of_the_draws(interval, dim):
    draws = noise(9, 7, 5)
    expected = list(draws.shape)
    expected[dim] = 2
    ends = interval(draws, 0.5, dim)
    assert list(ends.shape) == expected
    assert bool((ends.select(dim, 0) < ends.select(dim, 1)).all())


@pytest.mark.parametrize("prob", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("case", ["independent", "cauchy", "odd draws"])
def test_hpdi_equals_arviz(case, prob):
    draws = DRAWS[case].flatten()
    expected = arviz.hdi(draws.numpy(), prob)
    assert_close(stats.hpdi(draws, prob), torch.from_numpy(expected))


def test_an_interval_of_mass_one_spans_all_draws():
    draws = noise(50)
    span = torch.stack([draws.min(), draws.max()])
    assert_close(stats.hpdi(draws, 1.0), span)
    assert_close(stats.pi(draws, 1.0), span)


@pytest.mark.parametrize("statistic", [stats.hpdi, stats.pi, stats.quantile])
def test_a_probability_outside_the_unit_interval_is_refused(statistic):
    with pytest.raises(SupportError, match=r"\[0, 1\]") as error:
        statistic(noise(5), 1.5)
    assert isinstance(error.value, ValueError) and isinstance(error.value, PPLError)


@pytest.mark.parametrize("statistic", [stats.hpdi, stats.pi, stats.quantile])
def test_a_missing_draw_makes_an_interval_nan(statistic):
    draws = noise(10, 2)
    draws[4, 1] = math.nan
    assert statistic(draws, 0.5).reshape(-1, 2).isnan().all(0).tolist() == [False, True]


@pytest.mark.parametrize("dim", [0, 1])
def test_autocovariance_is_the_mean_of_lagged_products(dim):
    series = noise(13, 11)
    deviation = (series - series.mean(dim, keepdim=True)).movedim(dim, 0)
    length = deviation.shape[0]
    expected = torch.stack(
        [(deviation[: length - k] * deviation[k:]).mean(0) for k in range(length)]
    ).movedim(0, dim)
    assert_close(stats.autocovariance(series, dim), expected)
    lag_zero = expected.narrow(dim, 0, 1)
    assert_close(stats.autocorrelation(series, dim), expected / lag_zero)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e20])
def test_a_constant_series_is_wholly_correlated(value):
    x = torch.stack([torch.full((6,), value), torch.arange(6.0)])
    got = stats.autocorrelation(x, dim=1)
    assert_close(got[0], torch.ones(6))
    assert_close(got[1], stats.autocorrelation(torch.arange(6.0)))
