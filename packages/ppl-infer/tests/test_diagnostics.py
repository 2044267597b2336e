"""Laws of the summary table and of the verdict on draws."""

import dataclasses
import math

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError, SupportError
from ppl.infer import diagnostics
from ppl.infer.diagnostics import Verdict, assess, format_summary, summary
from ppl.ops import stats


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sticky(chains: int = 4, draws: int = 500) -> torch.Tensor:
    return noise(chains, draws).cumsum(1)


def test_a_summary_holds_the_statistics_of_each_component():
    draws = noise(4, 200, 2, 3)
    pooled = draws.flatten(0, 1)
    table = summary({"theta": draws}, prob=0.8)["theta"]
    expected = {
        "mean": pooled.mean(0),
        "std": pooled.std(0),
        "median": pooled.quantile(0.5, 0),
        "10.0%": pooled.quantile(0.1, 0),
        "90.0%": pooled.quantile(0.9, 0),
        "n_eff": stats.ess_bulk(draws),
        "ess_tail": stats.ess_tail(draws),
        "r_hat": stats.rhat(draws),
    }
    assert list(table) == list(expected)
    for name, value in expected.items():
        assert_close(table[name], value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_a_summary_of_any_dtype_is_float64(dtype):
    draws = (noise(4, 50) > 0).to(dtype)
    assert_close(summary({"z": draws}), summary({"z": draws.double()}))


def test_a_summary_of_a_single_draw_has_a_mean_and_no_more():
    table = summary({"x": noise(1, 1)})["x"]
    assert table["mean"].isfinite()
    assert all(table[name].isnan() for name in ("std", "n_eff", "ess_tail", "r_hat"))


def test_the_table_has_one_row_for_each_scalar_component():
    samples = {"mu": noise(4, 50), "theta": noise(4, 50, 2), "corr": noise(4, 50, 2, 2)}
    header, *rows = format_summary(summary(samples)).splitlines()
    columns = ["mean", "std", "median", "5.0%", "95.0%", "n_eff", "ess_tail", "r_hat"]
    assert header.split() == columns
    names = [row.split()[0] for row in rows]
    corr = ["corr[0,0]", "corr[0,1]", "corr[1,0]", "corr[1,1]"]
    assert names == ["mu", "theta[0]", "theta[1]", *corr]


def test_the_columns_of_the_table_are_aligned():
    samples = {"a long name": noise(4, 50) * 1e5, "b": noise(4, 50) * 1e-7}
    assert len({len(line) for line in format_summary(summary(samples)).splitlines()}) == 1


def test_the_table_shows_the_numbers_of_the_summary():
    table = summary({"x": noise(4, 100)})
    shown = format_summary(table).splitlines()[1].split()[1:]
    for text, value in zip(shown, table["x"].values(), strict=True):
        assert float(text) == pytest.approx(float(value), rel=1e-2)


def test_a_table_of_no_sites_is_empty():
    assert format_summary(summary({})) == ""


def test_independent_draws_are_trusted():
    verdict = assess(
        {"x": noise(4, 1000), "y": noise(4, 1000, 3, seed=1)}, torch.zeros(4, 1000) > 0
    )
    assert verdict == Verdict(True, (), ())
    assert str(verdict) == "The draws look reliable."


@pytest.mark.parametrize(
    ("samples", "divergences", "words", "advice"),
    [
        ({"x": noise(4, 1000)}, 3, ["3 divergent"], "target_accept_prob"),
        ({"x": noise(4, 1000)}, 1, ["1 divergent transition:"], "non-centred"),
        ({"good": noise(4, 1000), "bad": sticky()}, 0, ["bad: r_hat"], "warmup_steps"),
        ({"x": noise(4, 50)}, 0, ["x: effective sample size", "400"], "num_samples"),
        ({"x": torch.full((4, 100), 1.5)}, 0, ["x: no chain has moved"], "initial values"),
        ({"x": torch.full((4, 100), math.nan)}, 0, ["x: some draws are nan"], "enable_validation"),
        ({"x": noise(4, 3)}, 0, ["r_hat up to nan", "size down to nan"], "num_samples"),
        (
            {"x": torch.arange(4.0)[:, None].expand(4, 100)},
            0,
            ["x: r_hat up to inf"],
            "several modes",
        ),
    ],
)
def test_unreliable_draws_are_refused_with_a_reason_and_a_cure(samples, divergences, words, advice):
    verdict = assess(samples, divergences)
    assert not verdict.reliable
    for word in words:
        assert any(word in reason for reason in verdict.reasons), verdict.reasons
    assert any(advice in line for line in verdict.advice), verdict.advice
    assert all(line in str(verdict) for line in (*verdict.reasons, *verdict.advice))


def test_a_verdict_does_not_name_good_sites():
    verdict = assess({"good": noise(4, 1000), "bad": sticky(draws=1000)})
    assert all("good" not in reason for reason in verdict.reasons)


def test_a_verdict_names_the_worst_component_and_counts_the_rest():
    scale = torch.linspace(0, 1, 6)
    draws = noise(4, 1000, 6) + scale * torch.arange(4.0)[:, None, None]  # the last one is worst
    (reason,) = [reason for reason in assess({"theta": draws}).reasons if "r_hat" in reason]
    assert reason.startswith("theta[5], theta[4], theta[3] and ")


def test_a_component_that_is_constant_by_construction_is_not_held_against_the_draws():
    draws = noise(4, 1000, 2)
    draws[..., 0] = 1.0
    assert assess({"corr": draws}).reliable


def test_divergences_are_located_where_they_gather():
    log_scale, other = noise(4, 1000), noise(4, 1000, 2, seed=1)
    divergent = log_scale < -1.5  # the neck of a funnel
    verdict = assess({"other": other, "log_scale": log_scale}, divergent)
    assert "they gather at low log_scale" in verdict.reasons[0]
    assert "other" not in verdict.reasons[0]


def test_divergences_of_another_shape_are_refused_with_both_shapes():
    with pytest.raises(ShapeError, match=r"\(4,\).*'x'.*\(4, 100\)"):
        assess({"x": noise(4, 100)}, torch.zeros(4))


@pytest.mark.parametrize("function", [summary, assess])
@pytest.mark.parametrize("shape", [(), (10,), (0, 10), (2, 0, 3)])
def test_draws_without_chains_are_refused_by_site(function, shape):
    with pytest.raises(ShapeError, match="site 'theta'"):
        function({"theta": torch.zeros(shape)})


@pytest.mark.parametrize("prob", [0.0, 1.0, -0.1, 90.0])
def test_a_mass_outside_the_unit_interval_is_refused(prob):
    with pytest.raises(SupportError, match="prob"):
        summary({"x": noise(4, 10)}, prob=prob)


def test_a_verdict_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        assess({"x": noise(4, 1000)}).reliable = False  # type: ignore[misc]


def test_four_hundred_components_are_summarized_without_a_loop(monkeypatch):
    calls = []
    rhat = stats.rhat
    monkeypatch.setattr(diagnostics.stats, "rhat", lambda x: calls.append(x.shape) or rhat(x))
    summary({"x": noise(4, 50, 20, 20)})
    assert calls == [(4, 50, 20, 20)]
