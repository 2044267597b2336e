"""Conjugate sites integrated out: the marginal density of the data, and posterior draws."""

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.distribution import TorchDistributionMixin
from ppl.errors import SiteError
from ppl.poutine.conjugacy import find_rule
from ppl.poutine.marked_tensor import mark, marks_of
from ppl.primitives import deterministic, plate, sample
from ppl.validation import validation_enabled

from .distribution.families import (
    Bernoulli,
    Categorical,
    Dirichlet,
    Gamma,
    MultivariateNormal,
    Normal,
)


class Beta(torch.distributions.Beta, TorchDistributionMixin):
    pass


class Binomial(torch.distributions.Binomial, TorchDistributionMixin):
    pass


class Exponential(torch.distributions.Exponential, TorchDistributionMixin):
    pass


class Multinomial(torch.distributions.Multinomial, TorchDistributionMixin):
    pass


class Poisson(torch.distributions.Poisson, TorchDistributionMixin):
    pass


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


BETA = Beta(double(2.0), double(3.0))
GAMMA = Gamma(double(2.0), double(3.0))
DIRICHLET = Dirichlet(double([0.7, 2.0, 3.0]))
NORMAL = Normal(double(1.0), double(2.0))
SCALES = double([0.5, 1.0, 2.0, 3.0])
COUNTS = double([[1, 2, 2], [0, 5, 0], [0, 0, 5], [4, 1, 0]])

# prior, likelihood, name of its parameter, data
PAIRS = {
    "beta-bernoulli": (BETA, Bernoulli, "probs", double([1, 0, 1, 1])),
    "beta-binomial": (BETA, lambda p: Binomial(6, p), "probs", double([1, 0, 6, 4])),
    "dirichlet-categorical": (DIRICHLET, Categorical, "probs", torch.tensor([0, 2, 2, 1])),
    "dirichlet-multinomial": (DIRICHLET, lambda p: Multinomial(5, p), "probs", COUNTS),
    "gamma-exponential": (GAMMA, Exponential, "rate", double([0.2, 1.0, 4.0, 0.1])),
    "gamma-poisson": (GAMMA, Poisson, "rate", double([0, 3, 1, 7])),
    "normal-normal": (NORMAL, lambda loc: Normal(loc, SCALES), "loc", double([-1, 0.3, 2, 5])),
}
every_pair = pytest.mark.parametrize("pair", PAIRS)


def model(pair, **options):
    prior, likelihood, _, data = PAIRS[pair]
    x = sample("x", prior)
    with plate("data", 4, **options) as indices:
        chosen = data if indices is None else data[indices]
        sample("y", likelihood(x), obs=chosen)


def posterior(pair, weight=1.0):
    prior, likelihood, parameter, data = PAIRS[pair]
    fn = likelihood(prior.mean).expand((4,))
    rule = find_rule(prior, fn, parameter)
    return type(prior)(**rule(prior, fn, data, double([weight] * 4)))


def evidence(pair, at, weight=1.0):
    """Bayes' theorem at some value: the prior times the likelihood over the posterior."""
    prior, likelihood, _, data = PAIRS[pair]
    joint = prior.log_prob(at) + weight * likelihood(at).log_prob(data).sum()
    return joint - posterior(pair, weight).log_prob(at)


def collapsed(program, *args, **kwargs):
    return poutine.trace(poutine.collapse(program)).get_trace(*args, **kwargs)


# the rules


@every_pair
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_prior_times_likelihood_is_proportional_to_the_posterior(pair, weight):
    values = PAIRS[pair][0].sample((20,))
    constants = torch.stack([evidence(pair, at=value, weight=weight) for value in values])
    assert_close(constants, constants[:1].expand(20))


def test_the_evidence_is_the_integral_over_the_prior():
    p = torch.linspace(0, 1, 20_001, dtype=torch.float64)[1:-1, None]
    data = PAIRS["beta-binomial"][-1]
    density = BETA.log_prob(p[:, 0]) + Binomial(6, p).log_prob(data).sum(-1)
    integral = torch.trapezoid(density.exp(), p[:, 0])
    assert_close(evidence("beta-binomial", at=double(0.4)), integral.log())


# the handler


@every_pair
def test_outside_there_are_the_evidence_and_a_posterior_draw(pair):
    trace = collapsed(model, pair)
    assert list(trace.nodes)[1:-1] == ["data", "x_evidence", "x"]
    assert trace.stochastic_nodes == ["data"]
    assert trace.nodes["x"]["infer"]["_deterministic"]
    assert_close(trace.log_prob_sum(), evidence(pair, at=PAIRS[pair][0].sample()))


@every_pair
def test_draws_come_from_the_posterior(pair):
    with plate("particles", 20_000, dim=-2):
        draws = collapsed(model, pair).nodes["x"]["value"]
    event_dim = len(PAIRS[pair][0].event_shape)
    draws, law = draws.reshape(20_000, *PAIRS[pair][0].event_shape), posterior(pair)
    assert event_dim == draws.dim() - 1
    z = (draws.mean(0) - law.mean) / (law.variance / 20_000).sqrt()
    assert z.abs().max() < 4.5  # ten comparisons: a false alarm has chance 1e-4
    assert_close(draws.var(0), law.variance, rtol=0.1, atol=0.0)


@every_pair
def test_subsampled_data_weigh_as_much_as_the_whole(pair):
    prior, likelihood, parameter, data = PAIRS[pair]

    def half():
        x = sample("x", prior)
        with plate("data", 8, subsample_size=4, subsample=torch.arange(4)):
            sample("y", likelihood(x), obs=data)

    trace = collapsed(half)
    assert_close(trace.log_prob_sum(), evidence(pair, at=prior.mean, weight=2.0))


def test_masked_data_do_not_count():
    def program(data, mask):
        p = sample("p", BETA)
        with plate("data", len(data)), poutine.mask(mask=mask):
            sample("y", Bernoulli(p), obs=data)

    some = collapsed(program, double([1, 0, 1, 1]), torch.tensor([True, True, False, True]))
    all_of_less = collapsed(program, double([1, 0, 1]), True)
    assert_close(some.log_prob_sum(), all_of_less.log_prob_sum())


def test_several_observed_sites_add_to_one_posterior():
    def program():
        p = sample("p", BETA)
        sample("y", Bernoulli(p), obs=double(1.0))
        with plate("data", 2):
            sample("z", Binomial(3, p), obs=double([1.0, 2.0]))

    law = Beta(double(2.0 + 1 + 3), double(3.0 + 0 + 3))
    at = double(0.3)
    joint = BETA.log_prob(at) + Bernoulli(at).log_prob(double(1.0))
    joint = joint + Binomial(3, at).log_prob(double([1.0, 2.0])).sum()
    assert_close(collapsed(program).log_prob_sum(), joint - law.log_prob(at))


def test_a_local_site_is_integrated_out_for_each_element_of_its_plate():
    data = torch.randn(3, 4, dtype=torch.float64)

    def program(data):
        with plate("rows", len(data), dim=-2):
            x = sample("x", NORMAL)
            with plate("columns", 4, dim=-1):
                sample("y", Normal(x, SCALES), obs=data)

    trace = collapsed(program, data)
    assert trace.nodes["x"]["value"].shape == (3, 1)
    rows = [collapsed(program, row[None]).log_prob_sum() for row in data]
    assert_close(trace.log_prob_sum(), torch.stack(rows).sum())


def test_a_local_site_in_a_subsampled_plate_is_scaled_with_its_data():
    def program(**options):
        with plate("rows", 3, **options):
            x = sample("x", NORMAL)
            sample("y", Normal(x, 1.0), obs=double(0.5))

    whole = collapsed(program).log_prob_sum()
    assert_close(collapsed(program, subsample_size=1).log_prob_sum(), whole)


def test_value_and_gradient_are_those_of_the_marginal_distribution():
    data = torch.randn(4, dtype=torch.float64)
    hyper = double([0.3, 1.7]).requires_grad_()

    def program():
        x = sample("x", Normal(hyper[0], hyper[1]))
        with plate("data", 4):
            sample("y", Normal(x, SCALES), obs=data)

    value = collapsed(program).log_prob_sum()
    covariance = hyper[1] ** 2 + torch.diag(SCALES**2)
    expected = MultivariateNormal(hyper[0].expand(4), covariance).log_prob(data)
    assert_close(value, expected)
    assert_close(torch.autograd.grad(value, hyper), torch.autograd.grad(expected, hyper))


def test_only_the_named_sites_are_integrated_out():
    def program():
        scale = sample("scale", GAMMA)
        x = sample("x", NORMAL)
        sample("y", Normal(x, scale), obs=double(0.5))

    trace = poutine.trace(poutine.collapse(program, sites=["x"])).get_trace()
    assert list(trace.nodes)[1:-1] == ["scale", "x_evidence", "x"]
    assert trace.stochastic_nodes == ["scale"]


def test_handlers_within_each_other_integrate_out_what_each_of_them_names():
    def program():
        p = sample("p", BETA)
        x = sample("x", NORMAL)
        sample("y", Bernoulli(p), obs=double(1.0))
        sample("z", Normal(x, 1.0), obs=double(0.5))

    both = collapsed(program)
    inner = poutine.collapse(program, sites=["x"])
    nested = poutine.trace(poutine.collapse(inner, sites=["p"])).get_trace()
    assert set(nested.nodes) == set(both.nodes)
    assert_close(nested.log_prob_sum(), both.log_prob_sum())


def test_a_trace_inside_sees_the_sites_of_the_program():
    inside = poutine.trace(model)
    poutine.collapse(inside)("beta-bernoulli")
    assert list(inside.trace.nodes)[1:-1] == ["x", "data", "y"]


def test_data_may_be_observed_outside():
    def program():
        p = sample("p", BETA)
        sample("y", Bernoulli(p))

    trace = poutine.trace(
        poutine.condition(poutine.collapse(program), data={"y": double(1.0)})
    ).get_trace()
    assert_close(trace.log_prob_sum().exp(), double(0.4))


@pytest.mark.parametrize("is_validate", [True, False])
def test_observed_sites_are_left_as_they_are(is_validate):
    def program():
        x = sample("x", NORMAL, obs=double(0.7))
        sample("y", Normal(x, 1.0), obs=double(0.5))

    with validation_enabled(is_validate):
        trace = collapsed(program)
    assert list(trace.nodes)[1:-1] == ["x", "y"]


# what cannot be done


@pytest.mark.parametrize(
    ("child", "parameter"),
    [
        (lambda x: Normal(2 * x, 1.0), "loc"),
        (lambda x: Normal(0.0, x.exp()), "scale"),
        (lambda x: Normal(x, x.exp()), "loc, scale"),
        (lambda x: Normal(x[..., None], 1.0), "loc"),
        (lambda x: Bernoulli(logits=x), "logits"),
    ],
)
def test_a_use_that_is_not_conjugate_names_both_sites(child, parameter):
    def program():
        sample("child", child(sample("x", NORMAL)), obs=double(1.0))

    with pytest.raises(SiteError, match=f"site 'child' .* collapsed site 'x' by its {parameter},"):
        collapsed(program)


def test_a_latent_child_is_refused():
    with pytest.raises(SiteError, match="'child' depends on the collapsed site 'x' and is not obs"):
        collapsed(lambda: sample("child", Normal(sample("x", NORMAL), 1.0)))


def test_a_derived_value_is_refused():
    with pytest.raises(SiteError, match="'child' depends on the collapsed site 'x' by its v"):
        collapsed(lambda: deterministic("child", 2 * sample("x", NORMAL)))


def test_a_named_site_needs_a_family_with_rules():
    program = poutine.collapse(lambda: sample("x", Bernoulli(0.5)), sites=["x"])
    with pytest.raises(SiteError, match="site 'x' cannot be collapsed"):
        program()


def test_a_masked_site_cannot_be_collapsed():
    with pytest.raises(SiteError, match="masked"):
        collapsed(poutine.mask(lambda: sample("x", NORMAL), mask=torch.tensor([True, False])))


# marked tensors


def test_distributions_keep_the_marks_of_their_parameters_and_of_no_others():
    x = mark(torch.tensor(0.3), "x")
    fn = Normal(x, torch.tensor([1.0, 2.0])).expand((3, 2))
    [(name, found)] = marks_of(fn)
    assert (name, found.site, found.is_exact) == ("loc", "x", True)
    [(_, derived)] = marks_of(Normal(x + 1, 1.0))
    assert not derived.is_exact


def test_normalizing_a_probability_vector_keeps_its_mark():
    p = mark(torch.tensor([0.2, 0.8]), "p")
    assert dict(marks_of(Categorical(p)))["probs"].is_exact
    assert not dict(marks_of(Categorical(2 * p)))["probs"].is_exact
    assert not (p / p.sum()).is_exact  # the sum of all is no total of each
