"""Predictions with weights, and draws of equal weight made of them."""

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import MissingSiteError, NotRunError, SiteError
from ppl.infer import MHResampler, WeighedPredictive, predictive
from ppl.infer.predictive import WeighedPredictiveResults
from ppl.infer.resampler import Resampler

X = torch.tensor([0.5, 1.5, 1.0])
MEAN, VARIANCE = X.sum() / 4, 1 / 4  # of the posterior


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)


def model(x=None):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    w = ppl.sample("w", dist.Normal(z, 1.0))
    with ppl.plate("data", 3):
        ppl.sample("x", dist.Normal(z, 1.0), obs=x)
    ppl.sample("y", dist.Normal(z + w, 0.1))


def guide(x=None):
    ppl.sample("z", dist.Normal(0.5, 1.0))


def conditioned(x=None):
    model(X)


@pytest.mark.parametrize("parallel", [False, True])
class TestWeights:
    def test_they_are_the_ratio_of_model_and_guide_at_the_draws(self, parallel):
        results = WeighedPredictive(
            model, guide=guide, num_samples=6, return_sites=["z"], parallel=parallel
        )(X)
        z = results.samples["z"].reshape(-1)
        log_prior, log_guide = dist.Normal(0.0, 1.0).log_prob(z), dist.Normal(0.5, 1.0).log_prob(z)
        log_likelihood = dist.Normal(z[:, None], 1.0).log_prob(X).sum(-1)
        assert_close(results.guide_log_prob, log_guide)
        assert_close(results.model_log_prob, log_prior + log_likelihood)
        assert_close(results.log_weights, log_prior + log_likelihood - log_guide)

    def test_a_model_guide_weighs_and_the_model_predicts(self, parallel):
        results = WeighedPredictive(model, guide=guide, num_samples=5, parallel=parallel)(
            model_guide=conditioned
        )
        z = results.samples["z"].reshape(-1)
        scores = dist.Normal(0.0, 1.0).log_prob(z) + dist.Normal(z[:, None], 1.0).log_prob(X).sum(
            -1
        )
        assert_close(results.model_log_prob, scores)
        assert results.samples["x"].shape == (5, 3)
        assert len(results.samples["x"].unique()) == 15  # predictions, not data

    def test_what_is_drawn_from_the_prior_has_one_value_in_weight_and_sample(self, parallel):
        results = WeighedPredictive(model, guide=guide, num_samples=200, parallel=parallel)()
        error = results.samples["y"] - results.samples["z"] - results.samples["w"]
        assert error.abs().max() < 0.6  # six deviations


def test_weighted_means_are_those_of_the_posterior():
    results = WeighedPredictive(model, guide=guide, num_samples=5000, parallel=True)(
        model_guide=conditioned
    )
    weights = results.get_normalized_weights()
    error = (VARIANCE / results.get_ESS()) ** 0.5
    assert abs((weights * results.samples["z"].reshape(-1)).sum() - MEAN) < 4.5 * error
    assert_close(results.get_normalized_weights(log_scale=True).exp(), weights)


def test_call_returns_a_tuple_in_the_order_of_the_names():
    predict = WeighedPredictive(model, guide=guide, num_samples=2)
    ppl.set_rng_seed(1)
    by_name = predict().samples
    ppl.set_rng_seed(1)
    assert_close(predict.call().samples, tuple(by_name[name] for name in ("w", "x", "y", "z")))


def test_a_clone_has_tensors_of_its_own():
    results = WeighedPredictive(model, guide=guide, num_samples=2)()
    results.clone().samples["z"].fill_(9.0)
    assert (results.samples["z"] != 9.0).all()


def test_a_guide_is_needed():
    with pytest.raises(SiteError, match="pass guide="):
        WeighedPredictive(model, {"z": torch.zeros(3)})


def test_the_old_places_have_the_same_classes():
    assert predictive.WeighedPredictive is WeighedPredictive
    assert predictive.MHResampler is MHResampler
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        predictive.Nothing  # noqa: B018


class TestMHResampler:
    def sampler(self, num_samples):
        weighed = WeighedPredictive(
            conditioned, guide=guide, num_samples=num_samples, return_sites=["z"], parallel=True
        )
        return weighed

    def test_its_chains_converge_to_the_posterior(self):
        chains = MHResampler(self.sampler(4000))
        for _ in range(15):
            draws = chains().samples["z"].reshape(-1)
        # the chains are independent of each other; false alarm: 1e-5 each
        assert abs(draws.mean() - MEAN) < 4.5 * (VARIANCE / 4000) ** 0.5
        assert abs(draws.var() - VARIANCE) < 4.5 * VARIANCE * (2 / 4000) ** 0.5
        assert chains.get_min_sample_transition_count() >= 1
        assert chains.get_total_transition_count() == chains.transition_count.sum()

    @pytest.mark.parametrize("kept, number", [(slice(None), 3), (slice(-2, None), 2)])
    def test_slices_say_what_is_kept(self, kept, number):
        chains = MHResampler(self.sampler(4), source_samples_slice=kept, stored_samples_slice=kept)
        states = [chains().log_weights for _ in range(3)]
        assert_close(chains.get_stored_samples().log_weights, torch.cat(states[-number:]))
        assert chains.get_source_samples().samples["z"].shape == (4 * number, 1)

    def test_impossible_states_are_left_and_never_entered(self):
        log_weights = iter([[-torch.inf, -torch.inf, 0.0], [-torch.inf, 0.0, -torch.inf]])

        def sampler():
            x = torch.tensor(next(log_weights))
            return WeighedPredictiveResults({"z": x}, x, x, x)

        chains = MHResampler(sampler)
        chains()
        assert chains().log_weights.tolist() == [-torch.inf, 0.0, 0.0]

    def test_nothing_was_kept_by_default(self):
        chains = MHResampler(self.sampler(2))
        chains()
        with pytest.raises(NotRunError, match="no samples were kept"):
            chains.get_stored_samples()


class TestResampler:
    def broad(self):
        a = ppl.sample("a", dist.Normal(0.0, 3.0))
        with ppl.plate("data", 2):
            ppl.sample("b", dist.Normal(a, 1.0))

    def simulator(self):
        a = ppl.sample("a", dist.Normal(0.0, 3.0))
        with ppl.plate("data", 2):
            b = ppl.sample("b", dist.Normal(a, 1.0))
        ppl.deterministic("total", b.sum())

    def narrow(self):
        a = ppl.sample("a", dist.Normal(1.0, 1.0))
        with ppl.plate("data", 2):
            ppl.sample("b", dist.Normal(a, 1.0))

    @pytest.mark.parametrize("stable", [True, False])
    def test_draws_are_those_of_the_model(self, stable):
        resampler = Resampler(self.broad, self.simulator, num_guide_samples=2000)
        draws = resampler.sample(self.narrow, 1000, stable)
        assert {name: tuple(x.shape) for name, x in draws.items()} == {
            "a": (1000,),
            "b": (1000, 2),
            "total": (1000,),
        }
        # 2000 draws of the guide are worth 2000 * sqrt(17) / 9 = 900; false alarm: 1e-5 each
        assert abs(draws["a"].mean() - 1) < 4.5 * (1 / 900 + 1 / 1000) ** 0.5
        assert_close(draws["total"], draws["b"].sum(-1))

    def test_stable_draws_change_little_with_the_model(self):
        resampler = Resampler(self.broad, num_guide_samples=500)
        first = resampler.sample(self.narrow, 100)["a"]
        assert torch.equal(resampler.sample(self.narrow, 100)["a"], first)
        assert torch.equal(resampler.sample(self.narrow, 150)["a"][:100], first)
        moved = ppl.poutine.scale(self.narrow, 1.01)
        assert (resampler.sample(moved, 100)["a"] == first).double().mean() > 0.8
        assert not torch.equal(resampler.sample(self.narrow, 100, stable=False)["a"], first)

    def test_a_missing_site_is_named(self):
        resampler = Resampler(self.broad, num_guide_samples=5)
        with pytest.raises(MissingSiteError, match=r"no sites \['b'\]"):
            resampler.sample(lambda: ppl.sample("a", dist.Normal(0.0, 1.0)), 3)
