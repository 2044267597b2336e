"""Posteriors in files, and what comes back in another process."""

import subprocess
import sys
import warnings

import pytest
import torch
import xarray
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, FileFormatError
from ppl.infer import SMC, Importance, Posterior

from .schools import EFFECTS, ERRORS, NAMES, schools

ENDINGS = ["nc", "zarr"]
READ = """
import sys
from ppl.infer import Posterior
found = Posterior.load(sys.argv[1])
print(found, found.diagnose().reliable, found.summary()["mu"]["mean"].item())
"""


@pytest.fixture(scope="module")
def weighted():
    ppl.set_rng_seed(0)
    return Importance(schools, num_samples=500).run(ERRORS, EFFECTS).posterior()


@pytest.fixture(params=ENDINGS)
def path(request, tmp_path):
    return tmp_path / f"posterior.{request.param}"


def test_a_posterior_comes_back_as_it_was(weighted, path):
    weighted.save(path)
    found = Posterior.load(path, schools, ERRORS, EFFECTS)
    assert repr(found) == repr(weighted)
    assert_close(found.draws, weighted.draws)
    assert_close(found.log_weights, weighted.log_weights)
    assert found.facts == weighted.facts
    assert found.sites.axes == weighted.sites.axes
    assert found.diagnose() == weighted.diagnose()
    assert_close(found.loo().elpd, weighted.loo().elpd)


def test_without_the_model_it_still_says_what_it_is(weighted, path):
    weighted.save(path)
    found = Posterior.load(path)
    assert found.sites.coords == {"school": NAMES}
    assert_close(found.sites.observed["effect"], EFFECTS)
    assert_close(found.summary()["mu"]["mean"], weighted.summary()["mu"]["mean"])
    with pytest.raises(ArgumentError, match="Posterior.load"):
        found.predict()


def test_the_model_alone_predicts_new_data(weighted, path):
    weighted.save(path)
    assert Posterior.load(path, schools).predict(ERRORS)["effect"].shape == (500, 8)


def test_thousands_of_labels_fit_into_a_file(path):
    names = [f"the unit with the number {i}" for i in range(5000)]
    draws = {"mu": torch.ones(1, 2), "tau": torch.ones(1, 2), "z": torch.randn(1, 2, 5000)}
    found = Posterior.from_draws(draws, schools, torch.ones(5000), kwargs={"names": names})
    found.save(path)
    assert Posterior.load(path).sites.coords == {"school": names}


def scoped(y):
    """Sites and a plate whose names have a slash."""
    with ppl.plate("left/row", 2, coords=["a", "b"]):
        mean = ppl.sample("left/mean", dist.Normal(torch.zeros(2, 3), 1.0).to_event(1))
        ppl.sample("left/y", dist.Normal(mean[..., 0], 1.0), obs=y)


def test_names_with_a_slash_come_back(path):
    draws = {"left/mean": torch.randn(1, 4, 2, 3)}
    found = Posterior.from_draws(draws, scoped, torch.zeros(2))
    tree = found.to_datatree()
    assert set(tree["posterior"].data_vars) == {"left.mean"}
    found.save(path)
    back = Posterior.load(path)
    assert_close(back.draws, draws)
    assert back.sites.coords == found.sites.coords
    assert back.sites.axes == found.sites.axes
    assert set(back.sites.observed) == {"left/y"}


def test_statistics_and_steps_come_back(path):
    ppl.set_rng_seed(0)
    found = SMC(schools, num_particles=50, num_moves=2).run(ERRORS, EFFECTS).posterior()
    flags = torch.rand(1, 50) < 0.5
    statistics = {
        "diverging": flags,
        "potential_energy": torch.rand(1, 50),
        "accept_prob": torch.rand(1, 50),
    }
    given = Posterior.from_draws(
        found.draws, schools, ERRORS, EFFECTS, statistics=statistics, history=found.history
    )
    given.save(path)
    back = Posterior.load(path)
    assert_close(dict(back.statistics), statistics)
    assert_close(dict(back.history), dict(found.history))


def test_another_process_reads_it(weighted, tmp_path):
    path = tmp_path / "posterior.nc"
    weighted.save(path)
    command = [sys.executable, "-c", READ, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    expected = weighted.summary()["mu"]["mean"].item()
    assert answer.split("\n")[0] == f"{weighted!r} {weighted.diagnose().reliable} {expected}"


def test_arviz_reads_the_file(weighted, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz

        path = tmp_path / "posterior.nc"
        weighted.resampled().save(path)
        found = arviz.from_netcdf(path)
    assert found.posterior["theta"].dims == ("chain", "draw", "school")
    assert found.observed_data["effect"].shape == (8,)


def test_predictions_are_written_batch_by_batch(weighted, tmp_path):
    path = tmp_path / "predictions.zarr"
    names = [NAMES[2], "new"]
    weighted.save_predictions(
        path, ERRORS[:2], names=names, batch_size=7, num_draws=20, return_sites=["z", "effect"]
    )
    found = xarray.open_zarr(path)
    assert found["effect"].dims == ("draw", "school")
    assert found["effect"].shape == (20, 2)
    assert found["school"].values.tolist() == names
    expected = weighted.resampled(20).get_samples()["z"][:, 2]
    assert_close(torch.tensor(found["z"].values[:, 0]), expected)
    with pytest.raises(ArgumentError, match=r"\.zarr"):
        weighted.save_predictions(tmp_path / "predictions.nc", batch_size=7)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_none_is_refused(tmp_path, ending):
    path = tmp_path / f"posterior.{ending}"
    with pytest.raises(FileNotFoundError):
        Posterior.load(path)
    path.write_text("no file")
    with pytest.raises(FileFormatError, match="no file that"):
        Posterior.load(path)


def test_a_file_of_another_program_is_refused(tmp_path):
    tree = Posterior.from_draws({"x": torch.zeros(1, 3)}).to_datatree()
    path = tmp_path / "posterior.nc"
    tree.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(FileFormatError, match="not written by Posterior.save"):
        Posterior.load(path)
