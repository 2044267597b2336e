"""Guides that are trained on draws of the model."""

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import MissingSiteError, SiteError
from ppl.infer import CSIS


class Descent:
    """Plain gradient descent; ppl.optim is not needed to test a gradient."""

    def __init__(self, step_size):
        self.step_size = step_size

    def __call__(self, params):
        with torch.no_grad():
            for parameter in params:
                parameter -= self.step_size * parameter.grad


@pytest.fixture(autouse=True)
def _fresh_state():
    ppl.set_rng_seed(0)
    with ppl.get_param_store().scope():
        yield


ZERO = {"x": torch.tensor(0.0)}


def model(observations=ZERO):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("x", dist.Normal(z, 1.0), obs=observations["x"])
    return z


def guide(observations=ZERO):
    slope = ppl.param("slope", torch.tensor(0.0))
    ppl.sample("z", dist.Normal(slope * observations["x"], 0.5**0.5))


def test_the_guide_learns_the_posterior_of_any_observation():
    csis = CSIS(model, guide, Descent(0.02), num_inference_samples=50, training_batch_size=20)
    for _ in range(150):
        csis.step()
    assert abs(ppl.param("slope") - 0.5) < 0.1  # E[z | x] = x / 2
    for x in (-1.0, 2.0):
        assert csis.run(observations={"x": torch.tensor(x)}).get_ESS() > 40


def test_the_loss_is_the_mean_of_minus_the_log_density_of_the_guide():
    csis = CSIS(model, guide, Descent(0.0), validation_batch_size=4)
    csis.set_validation_batch()
    z, x = (
        torch.stack([trace.nodes[name]["value"] for trace in csis.validation_batch])
        for name in "zx"
    )
    assert len(z) == 4 and x.abs().min() > 0  # drawn, not the data
    csis.validation_loss()
    with torch.no_grad():
        ppl.param("slope").fill_(0.3)
    expected = -dist.Normal(0.3 * x, 0.5**0.5).log_prob(z).mean()
    assert_close(torch.tensor(csis.validation_loss()), expected)
    csis.loss_and_grads(True, csis.validation_batch)
    gradient = (-(z - 0.3 * x) * x / 0.5).mean()
    assert_close(ppl.param("slope").grad, gradient)


def test_without_a_batch_new_draws_are_used():
    csis = CSIS(model, guide, Descent(0.1))
    assert csis.validation_loss() != csis.validation_loss()
    assert ppl.param("slope").grad is None


def test_a_guide_without_a_latent_site_is_refused():
    csis = CSIS(model, lambda observations=ZERO: None, Descent(0.1))
    with pytest.raises(MissingSiteError, match=r"no sites \['z'\]"):
        csis.step()


def test_a_model_without_observations_is_refused():
    def unobserved(observations=ZERO):
        ppl.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(SiteError, match="no site of the model is observed"):
        CSIS(unobserved, guide, Descent(0.1)).step()
    with pytest.raises(SiteError, match="trains a guide"):
        CSIS(model, None, Descent(0.1))
