"""Posteriors made of traces: marginals, predictions and information criteria."""

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import NotRunError, ShapeError, SiteError
from ppl.infer import EmpiricalMarginal, Importance, TracePosterior, TracePredictive, abstract_infer
from ppl.infer.abstract_infer import Marginals
from ppl.ops.stats import waic


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)


def model(x=torch.ones(3)):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("v", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with ppl.plate("data", 3):
        ppl.sample("x", dist.Normal(z, 1.0), obs=x)
    return 2 * z


class Chains(TracePosterior):
    """Draws of the prior with given weights, in the chains that are asked for."""

    def __init__(self, chains, weights, program=model, num_chains=2):
        super().__init__(num_chains)
        self.chains, self.weights, self.program = chains, weights, program

    def _traces(self, *args, **kwargs):
        for chain, weight in zip(self.chains, self.weights, strict=True):
            yield poutine.trace(self.program).get_trace(*args, **kwargs), weight, chain


class TestTracePosterior:
    @pytest.mark.parametrize("vectorize", [True, False])
    def test_run_returns_the_posterior_and_replaces_what_was_there(self, vectorize):
        posterior = Importance(model, num_samples=4, vectorize=vectorize)
        assert posterior.run() is posterior
        before = list(posterior.log_weights)
        posterior.run()
        assert len(posterior.exec_traces) == len(posterior.log_weights) == 4
        assert posterior.chain_ids == [0] * 4 and posterior.log_weights != before

    def test_a_program_may_sample_nothing_at_all(self):
        assert len(Importance(lambda: None, num_samples=3).run().exec_traces) == 3

    def test_what_a_trace_returned_is_what_its_marginal_says(self):
        def noisy():
            return ppl.sample("z", dist.Normal(0.0, 1.0)) + torch.randn(())

        posterior = Importance(noisy, num_samples=4).run()
        returned = [trace.nodes["_RETURN"]["value"] for trace in posterior.exec_traces]
        assert_close(torch.stack(returned), posterior.marginal().support()["_RETURN"])

    def test_it_is_unseen_by_handlers_around_it(self):
        with poutine.trace() as outer:
            Importance(model, num_samples=2, vectorize=False).run()
        assert not outer.trace.nodes

    def test_a_trace_is_drawn_with_its_probability(self):
        posterior = Chains([0, 0, 0], [0.0, -torch.inf, -torch.inf], num_chains=1).run()
        assert all(posterior() is posterior.exec_traces[0] for _ in range(10))

    def test_it_must_be_run_first(self):
        with pytest.raises(NotRunError, match="Importance holds no traces yet"):
            Importance(model).marginal()

    def test_a_chain_out_of_range_is_refused(self):
        with pytest.raises(SiteError, match=r"chains \[2\], but num_chains=2"):
            Chains([0, 2], [0.0, 0.0]).run()


class TestMarginals:
    @pytest.mark.parametrize("vectorize", [True, False])
    def test_a_marginal_samples_what_the_model_returned(self, vectorize):
        posterior = Importance(model, num_samples=20, vectorize=vectorize).run()
        returned = {t.nodes["_RETURN"]["value"].item() for t in posterior.exec_traces}
        marginal = EmpiricalMarginal(posterior)
        assert {marginal().item() for _ in range(30)} <= returned

    @pytest.mark.parametrize("vectorize", [True, False])
    def test_mean_and_variance_are_the_weighted_ones(self, vectorize):
        posterior = Importance(model, num_samples=50, vectorize=vectorize).run()
        weights = posterior.get_normalized_weights()
        z = torch.stack([trace.nodes["z"]["value"] for trace in posterior.exec_traces])
        marginal = EmpiricalMarginal(posterior, sites="z")
        mean = (weights * z).sum()
        assert_close(marginal.mean, mean)
        assert_close(marginal.variance, (weights * (z - mean) ** 2).sum())

    def test_draws_have_the_frequencies_of_the_weights(self):
        posterior = Chains([0, 0], [torch.tensor(0.9).log(), torch.tensor(0.1).log()], num_chains=1)
        marginal = EmpiricalMarginal(posterior.run(), "z")
        first = posterior.exec_traces[0].nodes["z"]["value"]
        share = (marginal.sample((2000,)) == first).double().mean()
        assert abs(share - 0.9) < 4.5 * (0.09 / 2000) ** 0.5  # false alarm: 1e-5

    def test_sites_of_one_shape_are_stacked_before_the_event(self):
        def two():
            ppl.sample("a", dist.Normal(torch.zeros(4), 1.0).to_event(1))
            ppl.sample("b", dist.Normal(torch.zeros(4), 1.0).to_event(1))

        marginal = EmpiricalMarginal(Importance(two, num_samples=3).run(), sites=["a", "b"])
        assert marginal().shape == (2, 4)

    def test_sites_of_different_shapes_are_refused_and_shown(self):
        posterior = Importance(model, num_samples=3).run()
        with pytest.raises(ShapeError, match=r"'z': \(\), 'v': \(2,\)"):
            EmpiricalMarginal(posterior, sites=["z", "v"])
        marginals = posterior.marginal(["z", "v"])
        assert {n: tuple(x.shape) for n, x in marginals.support().items()} == {
            "z": (3,),
            "v": (3, 2),
        }

    def test_a_missing_site_is_named(self):
        with pytest.raises(SiteError, match="site 'nope' is not in every trace"):
            EmpiricalMarginal(Importance(model, num_samples=3).run(), "nope")

    def test_a_program_that_returns_nothing_has_no_marginal_of_it(self):
        def silent():
            ppl.sample("z", dist.Normal(0.0, 1.0))

        posterior = Importance(silent).run()
        with pytest.raises(SiteError, match="the program returns is None"):
            posterior.marginal()

    def test_a_site_whose_shape_changes_is_refused(self):
        sizes = iter([1, 2])

        def growing():
            ppl.sample("z", dist.Normal(torch.zeros(next(sizes)), 1.0).to_event(1))

        posterior = Chains([0, 0], [0.0, 0.0], growing, num_chains=1).run()
        with pytest.raises(ShapeError, match="different shapes in different traces"):
            posterior.marginal("z")

    def test_chains_are_a_batch_dimension_that_can_be_flattened(self):
        posterior = Chains([0, 1, 0, 1], [0.0] * 4).run()
        z = [trace.nodes["z"]["value"] for trace in posterior.exec_traces]
        marginals = Marginals(posterior, "z")
        assert marginals.empirical["z"].batch_shape == (2,)
        assert_close(marginals.support()["z"], torch.stack([z[0], z[2], z[1], z[3]]).reshape(2, 2))
        assert_close(marginals.support(flatten=True)["z"], torch.stack([z[0], z[2], z[1], z[3]]))

    def test_chains_of_different_lengths_are_refused(self):
        with pytest.raises(ShapeError, match=r"\[2, 1\]"):
            Chains([0, 1, 0], [0.0] * 3).run().marginal()


class TestInformationCriterion:
    @pytest.mark.parametrize("vectorize", [True, False])
    def test_it_is_waic_of_the_weighted_log_likelihood(self, vectorize):
        x = torch.tensor([0.5, -1.0, 2.0])
        posterior = Importance(model, num_samples=30, vectorize=vectorize).run(x)
        z = torch.stack([trace.nodes["z"]["value"] for trace in posterior.exec_traces])
        terms = dist.Normal(z[:, None], 1.0).log_prob(x)
        log_weights = torch.stack(posterior.log_weights)
        for pointwise in (False, True):
            found = posterior.information_criterion(pointwise)
            expected = waic(terms, log_weights, pointwise)
            assert_close((found["waic"], found["p_waic"]), expected)

    def test_there_must_be_observations_and_several_draws(self):
        unobserved = Importance(lambda: ppl.sample("z", dist.Normal(0.0, 1.0))).run()
        with pytest.raises(SiteError, match="no site of the model is observed"):
            unobserved.information_criterion()
        with pytest.raises(SiteError, match="at least two"):
            Importance(model, num_samples=1).run().information_criterion()


class TestTracePredictive:
    def predictive(self, *args, **kwargs):
        with pytest.warns(FutureWarning, match="TracePredictive is deprecated"):
            return TracePredictive(*args, **kwargs)

    def test_latent_values_are_those_of_the_posterior_and_data_are_drawn(self):
        posterior = Importance(model, num_samples=5).run()
        z = {trace.nodes["z"]["value"].item() for trace in posterior.exec_traces}
        predictive = self.predictive(model, posterior, num_samples=8).run(None)
        assert predictive.marginal("x").support()["x"].shape == (8, 3)
        assert {t.nodes["z"]["value"].item() for t in predictive.exec_traces} <= z

    def test_sites_that_are_not_kept_are_drawn_anew(self):
        posterior = Importance(model, num_samples=5).run()
        z = {trace.nodes["z"]["value"].item() for trace in posterior.exec_traces}
        predictive = self.predictive(model, posterior, 8, keep_sites=["v"]).run(None)
        assert not {t.nodes["z"]["value"].item() for t in predictive.exec_traces} & z


def test_the_old_place_has_the_same_classes():
    assert abstract_infer.TracePosterior is TracePosterior
    assert abstract_infer.EmpiricalMarginal is EmpiricalMarginal
    assert abstract_infer.TracePredictive is TracePredictive
