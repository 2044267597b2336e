"""DataTree and InferenceData, and what ArviZ makes of them."""

import sys
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import MissingDistributionError, PPLWarning, ShapeError, SiteError
from ppl.infer import Importance, Posterior

from .schools import EFFECTS, ERRORS, NAMES, schools

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ArviZ announces its next version
    import arviz

mpl.use("agg")
SCHEMA = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "observed_data",
    "constant_data",
    "posterior_predictive",
    "prior",
    "prior_predictive",
}


@pytest.fixture(scope="module")
def posterior():
    """Draws as of four chains, with statistics as of NUTS."""
    ppl.set_rng_seed(0)
    few = Importance(schools, num_samples=3000).run(ERRORS, EFFECTS).posterior().resampled(400)
    order = torch.randperm(400)
    draws = {n: x[:, order].reshape(4, 100, *x.shape[2:]) for n, x in few.draws.items()}
    return Posterior.from_draws(
        draws,
        schools,
        ERRORS,
        EFFECTS,
        method="nuts",
        statistics={
            "accept_prob": torch.rand(4, 100),
            "diverging": torch.rand(4, 100) < 0.05,
            "num_steps": torch.full((4, 100), 7),
            "potential_energy": torch.rand(4, 100),
        },
        are_chains=True,
    )


@pytest.fixture(scope="module")
def tree(posterior):
    return posterior.to_datatree(posterior_predictive=True, prior=50)


@pytest.fixture(scope="module")
def data(posterior):
    return posterior.to_arviz(posterior_predictive=True, prior=50)


# the layout, which ArviZ 1 reads as it is


def test_the_groups_are_those_of_the_schema(tree):
    assert set(tree.children) == SCHEMA


def test_dimensions_and_labels_are_those_of_plates(tree):
    theta = tree["posterior"]["theta"]
    assert theta.dims == ("chain", "draw", "school")
    assert theta.coords["school"].values.tolist() == NAMES
    assert tree["log_likelihood"]["effect"].dims == ("chain", "draw", "school")
    assert tree["observed_data"]["effect"].dims == ("school",)
    assert tree["constant_data"]["errors"].dims == ("school",)
    assert tree["posterior_predictive"]["effect"].dims == ("chain", "draw", "school")
    assert tree["prior"]["mu"].dims == ("chain", "draw")


def test_values_are_those_of_the_posterior(posterior, tree):
    assert_close(torch.tensor(tree["posterior"]["theta"].values), posterior.draws["theta"])
    assert_close(torch.tensor(tree["observed_data"]["effect"].values), EFFECTS)
    scores = posterior.log_likelihood()["effect"].reshape(4, 100, 8).double()
    assert_close(torch.tensor(tree["log_likelihood"]["effect"].values), scores)


def test_statistics_have_the_names_of_arviz(posterior, tree):
    found = tree["sample_stats"]
    assert set(found.data_vars) == {"acceptance_rate", "diverging", "n_steps", "lp"}
    assert_close(torch.tensor(found["lp"].values), -posterior.statistics["potential_energy"])


def test_dimensions_that_are_no_plates_are_numbered():
    def model():
        with ppl.plate("row", 3, dim=-2):
            ppl.sample("x", dist.Normal(torch.zeros(3, 1, 2), 1.0).to_event(1))

    found = Posterior.from_draws({"x": torch.zeros(1, 5, 3, 1, 2)}, model).to_datatree()
    assert found["posterior"]["x"].dims == ("chain", "draw", "row", "x_dim_1", "x_dim_2")


def test_names_and_labels_can_be_given():
    found = Posterior.from_draws({"x": torch.zeros(1, 5, 2)})
    tree = found.to_datatree(dims={"x": ["side"]}, coords={"side": ["left", "right"]})
    assert tree["posterior"]["x"].sel(side="left").shape == (1, 5)


@pytest.mark.parametrize(
    "options",
    [
        {"dims": {"x": ["a", "b"]}},
        {"dims": {"x": "side"}},
        {"dims": {"x": ["side"]}, "coords": {"side": ["left"]}},
    ],
)
def test_names_and_labels_that_do_not_fit_are_refused(options):
    found = Posterior.from_draws({"x": torch.zeros(1, 5, 2)})
    with pytest.raises(ShapeError):
        found.to_datatree(**options)


def test_an_argument_with_the_name_of_a_plate_is_data():
    def model(row):
        slope = ppl.sample("slope", dist.Normal(0.0, 1.0))
        with ppl.plate("row", len(row)):
            ppl.sample("y", dist.Normal(slope * row, 1.0), obs=torch.zeros(3))

    found = Posterior.from_draws({"slope": torch.zeros(4, 1)}, model, torch.arange(3.0))
    tree = found.to_datatree()
    assert tree["constant_data"]["row_data"].dims == ("row",)
    assert tree["posterior"]["slope"].shape == (4, 1)


def test_weighted_draws_are_resampled():
    draws = torch.tensor([[0.0, 1.0]])
    found = Posterior.from_draws({"x": draws}, log_weights=torch.tensor([[1.0, 0.0]]).log())
    assert found.to_datatree()["posterior"]["x"].values.tolist() == [[0.0, 0.0]]


def test_what_cannot_be_scored_is_left_out_with_the_reason():
    def mixture(x):
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        high = ppl.sample("high", dist.Bernoulli(0.5))
        with ppl.plate("row", 3):
            ppl.sample("x", dist.Normal(mean + high, 1.0), obs=x)

    found = Posterior.from_draws({"mean": torch.zeros(1, 5)}, mixture, torch.zeros(3))
    with pytest.warns(PPLWarning, match="high"):
        assert "log_likelihood" not in found.to_datatree().children
    with pytest.raises(SiteError, match="high"):
        found.to_datatree(log_likelihood=True)


def test_too_many_scores_are_made_only_if_they_are_asked_for(monkeypatch, posterior):
    monkeypatch.setattr("ppl.infer.results.export.MOST_SCORES", 100)
    with pytest.warns(PPLWarning, match="log_likelihood=True"):
        assert "log_likelihood" not in posterior.to_datatree().children
    assert "log_likelihood" in posterior.to_datatree(log_likelihood=True).children


def test_missing_libraries_are_named(monkeypatch, posterior):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(MissingDistributionError, match=r"ppl-infer\[arviz\]"):
        posterior.to_arviz()
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingDistributionError, match=r"ppl-infer\[save\]"):
        posterior.to_datatree()


def test_arviz_1_is_given_the_tree(monkeypatch, posterior):
    monkeypatch.delattr(arviz, "InferenceData")
    assert set(posterior.to_arviz(log_likelihood=False).children) < SCHEMA


# what ArviZ makes of it


def test_the_summary_of_arviz_has_a_row_for_each_label(data):
    table = arviz.summary(data, var_names=["theta"])
    assert list(table.index) == [f"theta[{name}]" for name in NAMES]
    assert np.isfinite(table["r_hat"]).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "plot",
    [
        lambda data: arviz.plot_trace(data, var_names=["mu", "theta"]),
        lambda data: arviz.plot_pair(data, var_names=["mu", "tau"], divergences=True),
        lambda data: arviz.plot_forest(data, var_names=["theta"], combined=True),
        lambda data: arviz.plot_ppc(data, num_pp_samples=5),
        lambda data: arviz.plot_ppc(data, group="prior", num_pp_samples=5),
    ],
    ids=["trace", "pair", "forest", "posterior predictive", "prior predictive"],
)
def test_arviz_draws_it(data, plot):
    import matplotlib.pyplot as plt

    assert np.size(plot(data)) > 0
    plt.close("all")


@pytest.mark.filterwarnings("ignore")
def test_arviz_compares_models(posterior, data):
    wide = Posterior.from_draws(posterior.draws, schools, 2 * ERRORS, EFFECTS, are_chains=True)
    table = arviz.compare({"narrow": data, "wide": wide.to_arviz()})
    difference = (posterior.loo() - wide.loo()).elpd
    assert_close(abs(difference), float(table["elpd_diff"].max()), rtol=0.0, atol=1e-6)
