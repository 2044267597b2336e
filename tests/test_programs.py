"""Programs of others' documentation run as printed, and find what the theory says."""

import runpy
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.infer as infer
from ppl.optim import Adam

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def introduction():
    mpl.use("Agg")
    with ppl.get_param_store().scope():
        ppl.set_rng_seed(0)
        yield runpy.run_path(str(PROGRAMS / "introduction.py"))
    mpl.pyplot.close("all")


@pytest.mark.filterwarnings("ignore::UserWarning")
class TestIntroduction:
    """The weight of an object: N(8.5, 1) a priori, measured as 9.5 with a deviation of 0.75."""

    MEAN = (8.5 + 9.5 / 0.75**2) / (1 + 1 / 0.75**2)
    SD = (1 + 1 / 0.75**2) ** -0.5

    def test_measurements_scatter_by_both_deviations(self, introduction):
        draws = torch.tensor(introduction["measurements"])
        # means of 100 of 100 draws: twice the variance; false alarm: 1e-5
        assert abs(draws.mean() - 8.5) < 4.5 * (2 * (1 + 0.75**2) / 100) ** 0.5

    @pytest.mark.parametrize(
        ("draws", "effective"),
        [("from_prior", 30), ("from_guide", 8), ("from_learned", 5), ("from_variational", 100)],
    )
    def test_every_way_of_inference_finds_the_posterior(self, introduction, draws, effective):
        found = torch.tensor(introduction[draws])
        assert abs(found.mean() - self.MEAN) < 4.5 * self.SD / effective**0.5

    def test_the_guide_has_learned_the_posterior(self, introduction):
        store = introduction["pyro"].get_param_store()
        assert abs(store["a"].item() - self.MEAN) < 0.3
        assert abs(store["b"].abs().item() - self.SD) < 0.2

    def test_conditioning_composes(self, introduction):
        models = [introduction[f"conditioned_scale2_{i}"] for i in (1, 2, 3)]
        traces = [ppl.poutine.trace(ppl.poutine.seed(m, 0)).get_trace(8.5) for m in models]
        first, *others = (trace.log_prob_sum() for trace in traces)
        assert all(torch.equal(first, other) for other in others)

    def test_an_observation_may_be_a_number(self, introduction):
        trace = ppl.poutine.trace(introduction["scale_obs"]).get_trace(8.5)
        assert trace.nodes["measurement"]["is_observed"]
        assert_close(trace.nodes["_RETURN"]["value"], torch.tensor(9.5))


class TestFirstInferencePage:
    """Pyro 0.1: losses by name, importance sampling from the prior, and search."""

    def model(self, data):
        heads = ppl.sample("heads", dist.Bernoulli(0.3))
        ppl.sample("x", dist.Normal(heads, 1.0), obs=data)
        return heads

    def test_search_and_importance_sampling_agree_with_bayes(self):
        data = torch.tensor(1.5)
        likelihood = dist.Normal(torch.tensor([0.0, 1.0]), 1.0).log_prob(data).exp()
        exact = 0.3 * likelihood[1] / (0.7 * likelihood[0] + 0.3 * likelihood[1])
        searched = infer.EmpiricalMarginal(infer.Search(self.model).run(data))
        assert_close(searched.mean, exact)
        ppl.set_rng_seed(0)
        posterior = infer.Importance(self.model, num_samples=10_000).run(data)
        error = (exact * (1 - exact) / posterior.get_ESS()) ** 0.5
        assert abs(infer.EmpiricalMarginal(posterior).mean - exact) < 4.5 * error  # alarm: 1e-5

    @pytest.mark.parametrize("options", [{}, {"num_particles": 3, "trace_graph": True}])
    def test_a_loss_given_by_name_takes_its_options(self, options):
        def model():
            ppl.sample("z", dist.Normal(3.0, 1.0))

        def guide():
            ppl.sample("z", dist.Normal(ppl.param("loc", torch.tensor(0.0)), 1.0))

        with ppl.get_param_store().scope():
            ppl.set_rng_seed(0)
            svi = infer.SVI(model, guide, Adam({"lr": 0.1}), loss="ELBO", **options)
            for _ in range(200):
                svi.step()
            assert abs(ppl.param("loc") - 3.0) < 0.3  # the gradient has no noise at the optimum
            assert abs(svi.evaluate_loss()) < 3.0
