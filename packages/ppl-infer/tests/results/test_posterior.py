"""One result: draws with weights, statistics and model, and what they say."""

import copy

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import (
    ArgumentError,
    MissingSiteError,
    NotRunError,
    PPLWarning,
    ShapeError,
    SiteError,
)
from ppl.infer import SMC, Importance, Posterior, Search
from ppl.infer.diagnostics import Verdict
from ppl.infer.results.weights import chosen

from .schools import EFFECTS, ERRORS, NAMES, exact_normal, normal, schools


@pytest.fixture(scope="module")
def weighted():
    ppl.set_rng_seed(0)
    return Importance(schools, num_samples=2000).run(ERRORS, EFFECTS).posterior()


@pytest.fixture(scope="module")
def chains():
    ppl.set_rng_seed(0)
    y = torch.randn(10, dtype=torch.double)
    draws, loc, variance = exact_normal(y, 1000)
    found = Posterior.from_draws({"mean": draws}, normal, y, are_chains=True)
    return found, loc, variance


# what there is


def test_deterministic_sites_are_computed_from_given_draws():
    draws = {"mu": torch.ones(2, 3), "tau": torch.ones(2, 3), "z": torch.randn(2, 3, 8)}
    found = Posterior.from_draws(draws, schools, ERRORS, EFFECTS)
    assert_close(found.draws["theta"], 1.0 + draws["z"])


def test_draws_have_the_axes_and_labels_of_plates(weighted):
    assert weighted.sites.axes["theta"] == ("school",)
    assert weighted.sites.axes["mu"] == ()
    assert weighted.sites.coords == {"school": NAMES}
    assert weighted.sites.latent == ("mu", "tau", "z")


def test_samples_are_flat_or_by_chain(chains):
    found = chains[0]
    assert found.get_samples()["mean"].shape == (4000,)
    assert found.get_samples(group_by_chain=True)["mean"].shape == (4, 1000)


def test_a_representation_says_what_there_is(weighted):
    text = "Posterior by importance: 1 x 2000 weighted draws of mu, tau, z[8], theta[8]"
    assert repr(weighted) == text


def test_a_copy_is_a_posterior_of_its_own(chains):
    other = copy.deepcopy(chains[0])
    other.draws["mean"].zero_()
    assert bool((chains[0].draws["mean"] != 0).all())


@pytest.mark.parametrize(
    "draws",
    [{}, {"x": torch.zeros(3)}, {"x": torch.zeros(2, 3), "y": torch.zeros(2, 4)}],
)
def test_draws_of_no_one_shape_are_refused(draws):
    with pytest.raises(ShapeError, match=r"\(chain, draw"):
        Posterior.from_draws(draws)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (torch.zeros(2), ShapeError),
        (torch.full((1, 2), -torch.inf), SiteError),
        (torch.tensor([[0.0, torch.nan]]), SiteError),
    ],
)
def test_weights_that_are_none_are_refused(weights, error):
    with pytest.raises(error):
        Posterior.from_draws({"x": torch.zeros(1, 2)}, log_weights=weights)


def test_draws_of_a_site_that_the_model_does_not_have_are_refused():
    with pytest.raises(MissingSiteError, match="did you mean 'mean'"):
        Posterior.from_draws({"Mean": torch.zeros(1, 3)}, normal, torch.zeros(2))


# weights


def test_the_summary_of_weighted_draws_counts_the_weights():
    draws = torch.tensor([[0.0, 1.0, 3.0]])
    weights = torch.tensor([[0.5, 0.25, 0.25]])
    found = Posterior.from_draws({"x": draws}, log_weights=weights.log())
    table = found.summary()["x"]
    assert_close(table["mean"].item(), 1.0)
    assert_close(table["std"].item(), (0.5 + 0.0 + 1.0) ** 0.5)


def test_importance_weights_give_the_exact_posterior():
    ppl.set_rng_seed(0)
    y = torch.tensor([1.0, 2.0, 0.5])
    found = Importance(normal, num_samples=20_000).run(y, 2.0).posterior()
    _, loc, variance = exact_normal(y, 1, 2.0)
    table = found.summary()["mean"]
    assert abs(table["mean"] - loc) < 4 * (variance / 2000) ** 0.5  # worth about 5000 draws
    assert abs(table["std"] - variance**0.5) < 0.05


def test_resampled_draws_count_the_same_and_are_the_same_each_time(weighted):
    equal = weighted.resampled()
    assert equal.log_weights is None
    assert_close(equal.draws["mu"], weighted.resampled().draws["mu"])
    wanted = 2000 * weighted.log_weights.flatten().exp()
    found = chosen(weighted.log_weights.flatten(), 2000).bincount(minlength=2000)
    assert bool(((found - wanted).abs() < 1).all())


def test_fewer_draws_are_taken_at_equal_distances():
    found = Posterior.from_draws({"x": torch.arange(100.0)[None]})
    assert_close(found.resampled(5).draws["x"], torch.tensor([[10.0, 30.0, 50.0, 70.0, 90.0]]))


def test_equal_weights_are_no_weights():
    found = Posterior.from_draws({"x": torch.zeros(1, 3)}, log_weights=torch.full((1, 3), -7.0))
    assert found.log_weights is None


# the summary


def test_only_chains_have_r_hat(weighted, chains):
    assert {"r_hat", "n_eff"} <= chains[0].summary()["mean"].keys()
    assert "r_hat" not in weighted.summary()["mu"]
    assert "r_hat" not in str(weighted.summary())


def test_rows_of_the_summary_have_the_labels_of_plates(weighted):
    rows = [line.split()[0] for line in str(weighted.summary()).splitlines()[1:]]
    assert rows[:2] == ["mu", "tau"]
    assert rows[2:10] == [f"z[{name}]" for name in NAMES]


def test_the_summary_is_the_exact_posterior(chains):
    found, loc, variance = chains
    table = found.summary()["mean"]
    assert abs(table["mean"] - loc) < 4 * (variance / 4000) ** 0.5
    assert abs(table["std"] / variance**0.5 - 1) < 0.05  # four standard errors


# prediction


def test_predictions_at_the_data_are_those_of_the_exact_posterior(chains):
    ppl.set_rng_seed(1)
    found, loc, variance = chains
    y = found.predict()["y"]
    assert y.shape == (4000, 10)
    assert abs(y.mean() - loc) < 4 * ((variance + 0.1) / 4000) ** 0.5
    assert abs(y.var(0).mean() - (1 + variance)) < 0.05


def test_predictions_have_the_rows_of_new_data(chains):
    new = torch.zeros(3, dtype=torch.double)
    assert chains[0].predict(new, num_draws=50)["y"].shape == (50, 3)


def test_known_labels_keep_their_draws_and_new_ones_are_drawn(weighted):
    ppl.set_rng_seed(0)
    names = [NAMES[3], "new", NAMES[0]]
    found = weighted.predict(ERRORS[:3], names=names, return_sites=["z"])
    equal = weighted.resampled().get_samples()["z"]
    assert_close(found["z"][:, [0, 2]], equal[:, [3, 0]])
    assert abs(found["z"][:, 1].std() - 1.0) < 0.1


def test_plates_without_labels_do_not_change_their_size():
    def model(n):
        with ppl.plate("row", n):
            ppl.sample("z", dist.Normal(0.0, 1.0))

    found = Posterior.from_draws({"z": torch.zeros(1, 5, 3)}, model, 3)
    with pytest.raises(ShapeError, match="coords=labels"):
        found.predict(4, return_sites=["z"])


def test_the_prior_has_all_sites(weighted):
    ppl.set_rng_seed(0)
    drawn = weighted.prior(2000)
    assert drawn["effect"].shape == (2000, 8)
    assert abs(drawn["mu"].std() - 5.0) < 0.4  # four standard errors


def test_without_a_model_nothing_is_predicted():
    found = Posterior.from_draws({"x": torch.zeros(1, 3)})
    with pytest.raises(ArgumentError, match="has no model"):
        found.predict()


# verdicts


def test_chains_are_judged_by_their_agreement(chains):
    verdict = chains[0].diagnose()
    assert verdict.reliable
    assert "posterior.summary()" in str(verdict)


def test_divergent_chains_are_not_believed(chains):
    draws = chains[0].draws
    diverging = torch.zeros(4, 1000, dtype=torch.bool)
    diverging[0, :5] = True
    found = Posterior.from_draws(draws, statistics={"diverging": diverging}, are_chains=True)
    verdict = found.diagnose()
    assert not verdict.reliable
    assert verdict.next_step


def test_weights_with_a_heavy_tail_are_not_believed():
    torch.manual_seed(0)
    x = torch.randn(1, 2000)
    found = Posterior.from_draws({"x": x}, log_weights=2.0 * x**2)
    verdict = found.diagnose()
    assert not verdict.reliable
    assert "Pareto k" in str(verdict)


@pytest.mark.parametrize(("scale", "is_good"), [(1.0, True), (0.2, False)])
def test_draws_of_a_guide_are_judged_by_their_ratios(scale, is_good):
    torch.manual_seed(0)
    x = scale * torch.randn(1, 2000)
    ratio = -(x**2) / 2 + (x / scale) ** 2 / 2
    found = Posterior.from_draws({"x": x}, statistics={"log_ratio": ratio})
    assert found.diagnose().reliable is is_good


def test_a_point_is_no_posterior():
    found = Posterior.from_draws(
        {"x": torch.ones(1, 10)}, statistics={"log_ratio": torch.zeros(1, 10)}
    )
    assert "point" in str(found.diagnose())


def test_draws_of_unknown_origin_are_not_judged_good():
    verdict = Posterior.from_draws({"x": torch.randn(1, 500)}).diagnose()
    assert not verdict.reliable


def test_a_method_may_bring_its_own_judge():
    found = Posterior.from_draws(
        {"x": torch.randn(1, 5)}, judge=lambda posterior: Verdict(True, (), ())
    )
    assert found.diagnose().reliable


# makers


def test_smc_reports_its_steps_and_evidence():
    ppl.set_rng_seed(0)
    sampler = SMC(schools, num_particles=500, num_moves=3).run(ERRORS, EFFECTS)
    found = sampler.posterior()
    assert found.log_weights is None
    assert found.history["temperature"][-1] == 1.0
    assert found.facts["log_evidence"] == sampler.log_evidence.item()
    assert found.diagnose().reliable


def test_search_gives_exact_weights():
    def model():
        coin = ppl.sample("coin", dist.Bernoulli(0.25))
        ppl.sample("x", dist.Normal(coin, 1.0), obs=torch.tensor(1.0))

    found = Search(model).run().posterior()
    odds = torch.exp(torch.tensor(0.5)) / 3
    assert_close(found.summary()["coin"]["mean"].item(), (odds / (1 + odds)).item())


def test_there_is_no_posterior_before_a_run():
    with pytest.raises(NotRunError):
        Importance(schools).posterior()


def test_a_site_that_is_not_always_there_is_named():
    def model():
        if ppl.sample("a", dist.Bernoulli(0.5)) == 1:
            ppl.sample("b", dist.Normal(0.0, 1.0))

    ppl.set_rng_seed(2)
    importance = Importance(model, num_samples=20, vectorize=False).run()
    with pytest.raises(SiteError, match="'b'|every trace"):
        importance.posterior()


def test_posteriors_need_no_vmap():
    def model(y):
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        if mean > 100:
            mean = mean - 100
        ppl.sample("y", dist.Normal(mean, 1.0), obs=y)

    found = Posterior.from_draws({"mean": torch.randn(1, 20)}, model, torch.tensor(1.0))
    with pytest.warns(PPLWarning, match="one after another"):
        assert found.predict()["y"].shape == (20,)
