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


# sites that are summed out


def mixture(x, given_scale=None):
    """A mixture by rows, a second one that a given site depends on, and one without a mixture."""
    weight = ppl.sample("weight", dist.Beta(2.0, 2.0))
    kind = ppl.sample("kind", dist.Categorical(torch.tensor([0.2, 0.8])))
    ppl.sample("scale", dist.Gamma(2.0 + kind, 1.0))
    with ppl.plate("row", len(x)):
        high = ppl.sample("high", dist.Bernoulli(weight))
        ppl.sample("x", dist.Normal(3.0 * high, 1.0), obs=x)
    ppl.sample("y", dist.Normal(1.0 * kind, 1.0), obs=torch.tensor(0.3))
    ppl.sample("z", dist.Normal(weight, 1.0), obs=torch.tensor(0.1))


@pytest.mark.parametrize("parallel", [False, True])
def test_discrete_sites_without_samples_are_summed_out(parallel):
    x, weight, scale = torch.tensor([0.5, 2.5, -1.0]), torch.tensor([0.2, 0.7]), torch.rand(2) + 1
    samples = {"weight": weight, "scale": scale}
    found = log_likelihood(mixture, samples, x, parallel=parallel)
    low = (1 - weight)[:, None].log() + dist.Normal(0.0, 1.0).log_prob(x)
    high = weight[:, None].log() + dist.Normal(3.0, 1.0).log_prob(x)
    assert_close(found["x"], torch.logaddexp(low, high))
    kinds = torch.arange(2.0)
    prior = torch.tensor([0.2, 0.8]).log() + dist.Gamma(2.0 + kinds, 1.0).log_prob(scale[:, None])
    terms = prior.log_softmax(-1) + dist.Normal(kinds, 1.0).log_prob(torch.tensor(0.3))
    assert_close(found["y"], terms.logsumexp(-1))
    assert_close(found["z"], dist.Normal(weight, 1.0).log_prob(torch.tensor(0.1)))


def test_observations_that_share_a_sum_have_no_scores_of_their_own():
    def model(x):
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        high = ppl.sample("high", dist.Bernoulli(0.5))
        with ppl.plate("row", 3):
            ppl.sample("x", dist.Normal(mean + high, 1.0), obs=x)

    with pytest.raises(SiteError, match="'high'.*summed out"):
        log_likelihood(model, {"mean": torch.zeros(2)}, torch.zeros(3))


def test_mixtures_in_two_plates_have_the_shape_of_both():
    def model(x):
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        with ppl.plate("column", 2, dim=-1), ppl.plate("row", 3, dim=-2):
            high = ppl.sample("high", dist.Bernoulli(0.5))
            ppl.sample("x", dist.Normal(mean + high, 1.0), obs=x)

    x = torch.randn(3, 2)
    found = log_likelihood(model, {"mean": torch.zeros(4)}, x)["x"]
    exact = dist.Normal(torch.arange(2.0), 1.0).log_prob(x[..., None]).logsumexp(-1)
    assert_close(found, (exact - torch.tensor(2.0).log()).expand(4, 3, 2))
