"""Pointwise log likelihoods."""

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ShapeError, SiteError
from ppl.infer import log_likelihood

X = torch.tensor([0.5, -1.0, 2.0])
Z = torch.tensor([0.0, 1.0, -2.0, 0.3])


def model(x=X):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.deterministic("double", 2 * z)
    ppl.factor("factor", -z)
    with ppl.plate("data", 3):
        ppl.sample("x", dist.Normal(z, 1.0), obs=x)
    ppl.sample("y", dist.Normal(torch.zeros(2), 1.0).to_event(1), obs=torch.zeros(2))


@pytest.mark.parametrize("parallel", [False, True])
def test_observations_are_scored_at_each_draw(parallel):
    found = log_likelihood(model, {"z": Z}, X, parallel=parallel)
    assert set(found) == {"x", "y"}
    assert_close(found["x"], dist.Normal(Z[:, None], 1.0).log_prob(X))
    assert_close(found["y"], dist.Normal(0.0, 1.0).log_prob(torch.zeros(4, 2)).sum(-1))


def test_scales_do_not_count_and_masks_do():
    def scaled():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        with ppl.plate("data", 9, subsample_size=3), ppl.poutine.mask(mask=X > 0):
            ppl.sample("x", dist.Normal(z, 1.0), obs=X)

    found = log_likelihood(scaled, {"z": Z})["x"]
    assert_close(found, torch.where(X > 0, dist.Normal(Z[:, None], 1.0).log_prob(X), 0.0))


def test_a_latent_site_without_draws_is_refused():
    with pytest.raises(SiteError, match=r"no draws of the latent sites \['z'\]"):
        log_likelihood(model, {"w": Z})


def test_a_model_without_observations_is_refused():
    with pytest.raises(SiteError, match="no site of the model is observed"):
        log_likelihood(lambda: ppl.sample("z", dist.Normal(0.0, 1.0)), {"z": Z})


@pytest.mark.parametrize("samples", [{}, {"z": torch.tensor(1.0)}, {"z": Z, "w": Z[:2]}])
def test_draws_must_be_of_one_number(samples):
    with pytest.raises(SiteError, match="the same number of draws"):
        log_likelihood(model, samples)


def test_draws_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="'z'"):
        log_likelihood(model, {"z": torch.zeros(4, 7)})
