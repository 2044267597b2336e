"""Draws, maxima and marginals of discrete sites are those of the joint probabilities."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import IntractableError, NotFiniteError, NotRunError, UnsupportedModelError
from ppl.infer import TraceEnum_ELBO, config_enumerate, infer_discrete
from ppl.infer.discrete import TraceEnumSample_ELBO

from .plated_models import DOUBLE, random_model

THETA = torch.tensor(0.7, dtype=DOUBLE)
PHI = torch.tensor(-0.6, dtype=DOUBLE)
NUM_DRAWS = 2000
pytestmark = pytest.mark.filterwarnings("ignore:site .* comes after the enumerated site")


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def tractable(seeds, **options):
    """The random models that can be summed."""
    for seed in seeds:
        model = random_model(seed, masked=False, **options)
        try:
            TraceEnum_ELBO(max_plate_nesting=2).loss(
                lambda theta, phi, m=model: m.model(theta),
                lambda theta, phi, m=model: m.guide(phi),
                THETA,
                PHI,
            )
        except IntractableError:
            continue
        yield model


def cells_of(sites, values):
    """The values of all slices of all sites, shape ``(draw, cell)``."""
    return torch.cat([values[s.name].reshape(len(values[s.name]), -1) for s in sites], -1)


def fit(drawn, listed, probabilities):
    """The p-value of draws, as rows, against the probabilities of the rows that are listed."""
    number = (drawn[:, None] == listed).all(-1).int().argmax(-1)
    counts = torch.bincount(number, minlength=len(listed))
    expected = probabilities * len(drawn)
    rare = expected < 5  # which the distribution of the statistic is not for
    if rare.any():
        counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
        expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    keep = expected > 1e-9
    assert counts[~keep].sum() == 0
    statistic = ((counts - expected).square() / expected.clamp(min=1e-9))[keep].sum()
    return stats.chi2.sf(statistic.item(), max(int(keep.sum()) - 1, 1))


def test_joint_draws_have_the_posterior_probabilities():
    """Fails by chance once in 10,000 runs."""
    p_values = []
    for model in tractable(range(40), guided=False):
        elbo = TraceEnumSample_ELBO(
            num_particles=NUM_DRAWS, vectorize_particles=True, max_plate_nesting=2
        )
        elbo.loss(model.model, lambda theta: None, THETA)
        shapes = {s.name: (NUM_DRAWS, *_slices(model, s)) for s in model.latent}
        drawn = {n: x.expand(shapes[n]) for n, x in elbo.sample_saved().items()}
        listed = model.assignments(model.latent)
        probabilities = model.log_joint(THETA, listed).softmax(0)
        rows = cells_of(model.latent, listed)
        p_values.append(fit(cells_of(model.latent, drawn), rows, probabilities))
    assert len(p_values) > 30
    assert min(p_values) > 1e-4 / len(p_values)


def _slices(model, site):
    return [model.sizes[p] if p in site.plates else 1 for p in ("j", "i")]


def test_sites_of_the_guide_are_drawn_from_the_guide():
    """Fails by chance once in 10,000 runs."""
    p_values = []
    for model in tractable(range(60)):
        if not model.guided or "sequential" in model.marks.values():
            continue
        elbo = TraceEnumSample_ELBO(
            num_particles=NUM_DRAWS, vectorize_particles=True, max_plate_nesting=2
        )
        elbo.loss(
            lambda theta, phi, m=model: m.model(theta),
            lambda theta, phi, m=model: m.guide(phi),
            THETA,
            PHI,
        )
        drawn = elbo.sample_saved()
        drawn = {s.name: drawn[s.name].expand(NUM_DRAWS, *_slices(model, s)) for s in model.latent}
        guided = [s for s in model.latent if s.name in model.marks]
        rest = [s for s in model.latent if s.name not in model.marks]
        listed, log_prob = model.log_posterior(THETA, PHI, guided, rest)
        rows = cells_of(model.latent, listed)
        p_values.append(fit(cells_of(model.latent, drawn), rows, log_prob.exp()))
    assert len(p_values) > 5
    assert min(p_values) > 1e-4 / len(p_values)


def test_temperature_zero_gives_the_joint_maximum():
    for model in tractable(range(60), guided=False):
        best = infer_discrete(model.model, first_available_dim=-3, temperature=0)(THETA)
        best = {s.name: best[s.name].expand(1, *_slices(model, s)) for s in model.latent}
        listed = model.assignments(model.latent)
        assert_close(model.log_joint(THETA, best)[0], model.log_joint(THETA, listed).max())


def test_marginals_are_sums_of_the_joint_probabilities():
    elbo, count = TraceEnum_ELBO(max_plate_nesting=2), 0
    for model in tractable(range(60), guided=False):
        marginals = elbo.compute_marginals(model.model, lambda theta: None, THETA)
        listed = model.assignments(model.latent)
        probabilities = model.log_joint(THETA, listed).softmax(0)
        assert list(marginals) == [s.name for s in model.latent]
        for site in model.latent:
            is_value = listed[site.name][..., None] == torch.arange(site.size)
            exact = (probabilities[:, None, None, None] * is_value).sum(0)
            found = marginals[site.name].probs
            assert_close(found.expand(exact.shape), exact, rtol=1e-9, atol=1e-9)
            count += 1
    assert count > 100


def test_marginals_are_of_the_family_of_the_site():
    @config_enumerate
    def model():
        b = ppl.sample("b", dist.Bernoulli(0.25))
        h = ppl.sample("h", dist.OneHotCategorical(torch.tensor([0.2, 0.5, 0.3])))
        n = ppl.sample("n", dist.Binomial(2, 0.5))
        ppl.sample("x", dist.Normal(0.0 * (b + h.sum(-1) + n), 1.0), obs=torch.tensor(0.0))

    found = TraceEnum_ELBO().compute_marginals(model, lambda: None)
    assert isinstance(found["b"], dist.Bernoulli)
    assert isinstance(found["h"], dist.OneHotCategorical)
    assert isinstance(found["n"], dist.Categorical)
    assert_close(found["b"].probs, torch.tensor(0.25))
    assert_close(found["h"].probs, torch.tensor([0.2, 0.5, 0.3]))
    assert_close(found["n"].probs, torch.tensor([0.25, 0.5, 0.25]))


def test_sample_posterior_returns_what_the_model_returns():
    @config_enumerate
    def model():
        z = ppl.sample("z", dist.Bernoulli(0.5))
        c = ppl.sample("c", dist.Normal(0.0, 1.0))
        ppl.sample("x", dist.Normal(20 * z + c, 1.0), obs=torch.tensor(22.0))
        return z, c

    def guide():
        ppl.sample("c", dist.Delta(torch.tensor(2.0)))

    z, c = TraceEnum_ELBO().sample_posterior(model, guide)
    assert (z.item(), c.item()) == (1.0, 2.0)


@pytest.mark.parametrize("method", ["compute_marginals", "sample_posterior"])
def test_posteriors_of_several_particles_are_refused(method):
    elbo = TraceEnum_ELBO(num_particles=2)
    with pytest.raises(UnsupportedModelError, match="num_particles is 2"):
        getattr(elbo, method)(lambda: None, lambda: None)


def test_marginals_at_an_enumerated_guide_are_refused():
    @config_enumerate
    def program():
        ppl.sample("z", dist.Bernoulli(0.5))

    with pytest.raises(UnsupportedModelError, match="site 'z' is enumerated in the guide"):
        TraceEnum_ELBO().compute_marginals(program, program)


def test_nothing_saved_is_refused():
    with pytest.raises(NotRunError, match="call loss"):
        TraceEnumSample_ELBO().sample_saved()


def test_impossible_observations_are_refused():
    @config_enumerate
    def model():
        z = ppl.sample("z", dist.Bernoulli(0.5))
        ppl.sample("x", dist.Delta(z), obs=torch.tensor(0.3))

    with pytest.raises(NotFiniteError, match=r"\['z'\] have the log density -inf"):
        infer_discrete(model)()
