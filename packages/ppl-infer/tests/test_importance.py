"""Importance sampling against conjugate models."""

import math
import random

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import NotRunError, PPLWarning, ShapeError, SiteError
from ppl.infer import Importance
from ppl.infer.importance import psis_diagnostic, vectorized_importance_weights

Y = torch.tensor([0.3, -0.5, 1.1])


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)
    with ppl.get_param_store().scope():
        yield


def model(y=Y):
    """A normal mean with three observations."""
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    with ppl.plate("data", len(y)):
        ppl.sample("y", dist.Normal(z, 1.0), obs=y)
    return z


def exact(y=Y):
    """The posterior, and the log evidence by the chain rule at z = 0."""
    posterior = dist.Normal(y.sum() / (1 + len(y)), (1 + len(y)) ** -0.5)
    joint = (
        dist.Normal(0.0, 1.0).log_prob(torch.zeros(())) + dist.Normal(0.0, 1.0).log_prob(y).sum()
    )
    return posterior, joint - posterior.log_prob(torch.zeros(()))


def posterior_guide(y=Y):
    ppl.sample("z", exact(y)[0])


def wide_guide(y=Y):
    ppl.sample("z", dist.Normal(0.0, 2.0))


def branching(y=Y):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    if z > 0:  # a branch on a value, which changes nothing
        pass
    with ppl.plate("data", len(y)):
        ppl.sample("y", dist.Normal(z, 1.0), obs=y)
    return z


class TestImportance:
    @pytest.mark.parametrize("vectorize", [True, False])
    def test_all_weights_are_the_evidence_where_the_guide_is_the_posterior(self, vectorize):
        run = Importance(model, posterior_guide, num_samples=7, vectorize=vectorize).run()
        assert_close(torch.stack(run.log_weights), exact()[1].expand(7))
        assert_close(run.get_log_normalizer(), exact()[1])
        assert_close(run.get_ESS(), torch.tensor(7.0))

    @pytest.mark.parametrize("guide", [None, wide_guide])
    def test_evidence_and_posterior_mean_are_those_of_the_closed_form(self, guide):
        n = 20_000
        run = Importance(model, guide, num_samples=n).run()
        posterior, evidence = exact()
        weights = run.get_normalized_weights()
        relative = (n * weights).std() / n**0.5  # delta method
        assert abs(run.get_log_normalizer() - evidence) < 4.5 * relative  # false alarm: 1e-5
        error = posterior.stddev / run.get_ESS().sqrt()
        assert abs(run.marginal("z").empirical["z"].mean - posterior.mean) < 4.5 * error

    def test_the_average_weight_is_unbiased(self):
        """With three draws a run, over many runs: not only in the limit of many draws."""
        y = Y[:1]
        runs = [Importance(model, wide_guide, num_samples=3).run(y) for _ in range(200)]
        ratio = torch.stack([run.get_log_normalizer() - exact(y)[1] for run in runs]).exp()
        z = (ratio.mean() - 1) / (ratio.std() / len(ratio) ** 0.5)
        assert abs(z) < 4.5  # false alarm: 1e-5

    def test_one_after_another_and_all_at_once_weigh_their_draws_alike(self):
        for vectorize in (True, False):
            run = Importance(model, wide_guide, num_samples=5, vectorize=vectorize).run()
            for trace, log_weight in zip(run.exec_traces, run.log_weights, strict=True):
                z = trace.nodes["z"]["value"]
                expected = dist.Normal(0.0, 1.0).log_prob(z) + dist.Normal(z, 1.0).log_prob(Y).sum()
                assert_close(trace.log_prob_sum(), expected)
                assert_close(log_weight, expected - dist.Normal(0.0, 2.0).log_prob(z))

    def test_a_site_that_the_guide_lacks_is_proposed_from_its_prior(self):
        def two():
            a = ppl.sample("a", dist.Normal(0.0, 1.0))
            b = ppl.sample("b", dist.Normal(a, 1.0))
            ppl.sample("y", dist.Normal(b, 1.0), obs=torch.tensor(0.5))

        def half():
            ppl.sample("a", dist.Normal(0.5, 1.5))

        with pytest.warns(PPLWarning, match="'b' of the model is not in the guide"):
            run = Importance(two, half, num_samples=20_000).run()
        evidence = dist.Normal(0.0, 3**0.5).log_prob(torch.tensor(0.5))
        relative = (20_000 * run.get_normalized_weights()).std() / 20_000**0.5
        assert abs(run.get_log_normalizer() - evidence) < 4.5 * relative  # false alarm: 1e-5

    def test_a_branch_on_a_value_is_run_one_after_another_with_one_warning(self):
        run = Importance(branching, num_samples=4)
        with pytest.warns(PPLWarning, match="one after another, all at once gave") as caught:
            run.run()
            run.run()
        assert len(caught) == 1 and len(run.exec_traces) == 4

    @pytest.mark.parametrize("draw", [np.random.randn, random.random])
    def test_noise_of_other_libraries_is_new_for_each_draw(self, draw):
        def noisy():
            return ppl.sample("z", dist.Normal(0.0, 1.0)) + draw()

        with pytest.warns(PPLWarning, match="numpy or random would draw one number for all"):
            posterior = Importance(noisy, num_samples=5).run()
        noise = posterior.marginal().support()["_RETURN"] - posterior.marginal("z").support()["z"]
        assert len(noise.unique()) == 5

    def test_an_error_of_the_model_is_raised(self):
        def broken():
            ppl.sample("z", dist.Normal(0.0, -1.0))

        with pytest.raises(ValueError, match="parameter scale"):
            Importance(broken).run()

    def test_parameters_of_the_guide_are_made_before_the_draws_and_no_part_of_them(self):
        def guide(y=Y):
            loc = ppl.param("loc", lambda: torch.randn(()))
            ppl.sample("z", dist.Normal(loc, 1.0))

        Importance(model, guide, num_samples=5).run()
        assert ppl.param("loc").shape == () and ppl.param("loc").isfinite()

    def test_traces_keep_the_parameters_that_they_were_run_with(self):
        def learned():
            return ppl.sample("z", dist.Normal(ppl.param("loc", torch.tensor(1.0)), 1.0))

        run = Importance(learned, num_samples=2).run()
        before = run.exec_traces[0].nodes["z"]["fn"].loc.clone()
        with torch.no_grad():
            ppl.param("loc").add_(5.0)
        assert_close(run.exec_traces[0].nodes["z"]["fn"].loc, before)

    def test_the_log_normalizer_has_the_gradient_of_the_evidence(self):
        scale = torch.tensor(1.5, requires_grad=True)

        def learned():
            z = ppl.sample("z", dist.Normal(0.0, scale))
            ppl.sample("y", dist.Normal(z, 1.0), obs=torch.tensor(0.7))

        def exact_guide():
            with torch.no_grad():
                v = scale**2 / (scale**2 + 1)
                posterior = dist.Normal(0.7 * v, v.sqrt())
            ppl.sample("z", posterior)

        run = Importance(learned, exact_guide, num_samples=100_000).run()
        (found,) = torch.autograd.grad(run.get_log_normalizer(), scale)
        evidence = dist.Normal(0.0, (scale**2 + 1).sqrt()).log_prob(torch.tensor(0.7))
        (expected,) = torch.autograd.grad(evidence, scale)
        # the score z**2 / scale**3 - 1 / scale has a standard deviation below 1: 4.5 sigmas
        assert abs(found - expected) < 4.5 / 100_000**0.5

    @pytest.mark.parametrize("ask", ["get_ESS", "get_log_normalizer", "get_normalized_weights"])
    def test_a_result_before_the_run_is_refused(self, ask):
        with pytest.raises(NotRunError, match="call run"):
            getattr(Importance(model), ask)()

    def test_weights_that_are_all_zero_are_refused(self):
        def impossible():
            ppl.sample("x", dist.Bernoulli(0.5))
            ppl.factor("never", torch.tensor(-math.inf))

        with pytest.raises(SiteError, match="no weight is positive"):
            Importance(impossible).run().get_ESS()

    @pytest.mark.parametrize("num", [0, -1, 2.5, "ten"])
    def test_a_number_of_draws_that_is_none_is_refused(self, num):
        with pytest.raises(SiteError, match="num_samples"):
            Importance(model, num_samples=num)


class TestVectorizedWeights:
    def test_plates_are_summed_and_particles_are_not(self):
        found, model_trace, guide_trace = vectorized_importance_weights(
            model, posterior_guide, num_samples=5
        )
        assert_close(found, exact()[1].expand(5))
        assert model_trace.nodes["y"]["log_prob"].shape == (5, 3)
        assert guide_trace.nodes["z"]["value"].shape == (5, 1)

    def test_normalized_weights_sum_to_one(self):
        found, *_ = vectorized_importance_weights(
            model, wide_guide, num_samples=5, max_plate_nesting=3, normalized=True
        )
        assert_close(found.logsumexp(0), torch.tensor(0.0), atol=1e-6, rtol=0)

    def test_a_subsample_is_scaled_to_the_whole(self):
        def subsampled():
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            with ppl.plate("data", 6, subsample_size=3):
                ppl.sample("y", dist.Normal(z, 1.0), obs=Y)

        found, trace, _ = vectorized_importance_weights(
            subsampled, lambda: ppl.sample("z", dist.Delta(torch.tensor(0.0))), num_samples=2
        )
        prior = dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
        assert_close(found, (prior + 2 * dist.Normal(0.0, 1.0).log_prob(Y).sum()).expand(2))

    def test_shapes_that_do_not_match_are_refused(self):
        def scalar():
            ppl.sample("z", dist.Normal(0.0, 1.0))

        def vector():
            ppl.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))

        with pytest.raises(ShapeError, match="'z' has event_dim 0 in the model and 1 in the guide"):
            vectorized_importance_weights(scalar, vector, num_samples=2)


class TestPSIS:
    @pytest.mark.parametrize("guide_scale", [0.5, 0.7])
    def test_k_is_the_tail_index_of_the_weights(self, guide_scale):
        """Weights of N(0, 1) under N(0, s) have tail P(w > t) ~ t**(-1/k) with k = 1 - s**2."""

        def target():
            ppl.sample("z", dist.Normal(0.0, 1.0))

        def guide():
            ppl.sample("z", dist.Normal(0.0, guide_scale))

        k = psis_diagnostic(target, guide, num_particles=40_000)
        assert abs(k - (1 - guide_scale**2)) < 0.25  # tails of 600; slowly varying terms bias it

    def test_it_is_computed_in_parts(self):
        k = psis_diagnostic(
            model,
            wide_guide,
            num_particles=1000,
            max_simultaneous_particles=250,
            max_plate_nesting=1,
        )
        assert k < 0.5

    def test_a_guide_that_is_the_posterior_has_no_tail(self):
        def same():
            ppl.sample("z", dist.Normal(0.0, 1.0))

        assert psis_diagnostic(same, same, num_particles=100) == -math.inf

    def test_parts_that_do_not_divide_the_number_are_refused(self):
        with pytest.raises(SiteError, match="multiple of max_simultaneous_particles=3"):
            psis_diagnostic(model, wide_guide, num_particles=10, max_simultaneous_particles=3)
