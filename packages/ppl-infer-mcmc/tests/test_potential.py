"""From models to potentials: the density, its recording, where chains start, and errors."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch.distributions import biject_to, constraints
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import poutine
from ppl.errors import NotFiniteError, PPLError, PPLWarning, UnsupportedModelError
from ppl.infer.initialization import init_to_value
from ppl.infer.mcmc.target.evaluation import loop_potential, recorded_potential, vmap_potential
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.util import initialize_model
from ppl.primitives import clear_param_store, deterministic, factor, param, plate, sample
from ppl.validation import validation_enabled

from .targets import generator

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7], dtype=torch.float64)


def normal_model():
    mean = sample("mean", dist.Normal(torch.zeros((), dtype=torch.float64), 2.0))
    scale = sample("scale", dist.HalfNormal(torch.ones((), dtype=torch.float64)))
    with plate("data", 4):
        sample("x", dist.Normal(mean, scale), obs=DATA)


def simplex_model():
    weights = sample("weights", dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)))
    sample("counts", dist.Multinomial(10, weights), obs=torch.tensor([2.0, 3.0, 5.0]).double())


def nested_support_model():
    upper = sample("upper", dist.Exponential(torch.ones((), dtype=torch.float64)))
    inner = sample("inner", dist.Uniform(torch.zeros_like(upper), upper))
    deterministic("ratio", inner / upper)


def improper_model():
    z = sample("z", dist.Normal(0.0, 1.0).expand([3]).to_event(1).mask(False))
    sample("x", dist.Normal(z, 1.0).to_event(1), obs=torch.zeros(3))


def scaled_model():
    z = sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    with poutine.scale(scale=2.5), plate("rows", 5):
        sample("x", dist.Normal(z.sum(), 1.0), obs=torch.arange(5.0))
    factor("penalty", -(z**4).sum())


def matrix_model():
    rho = sample("rho", dist.Uniform(-0.9, 0.9))
    matrix = torch.eye(2) + rho * (1 - torch.eye(2))
    root = torch.linalg.cholesky(matrix)
    sample("x", dist.MultivariateNormal(torch.zeros(2), scale_tril=root), obs=torch.ones(2))


def ordered_model():
    sample("times", dist.Gamma(torch.full((2, 3), 2.0), 1.0).to_event(1))


MODELS = [
    normal_model,
    simplex_model,
    nested_support_model,
    improper_model,
    scaled_model,
    matrix_model,
    ordered_model,
]


def target_of(model, num_chains=4):
    return Target.of_model(model, (), {}, None, init_to_value(values={}), num_chains, None)


def log_density_by_hand(model, unconstrained):
    """Score the model at given values site by site, and add the log Jacobians."""
    total, values = 0.0, {}
    for _ in range(len(unconstrained)):  # supports may depend on earlier sites
        trace = poutine.trace(poutine.condition(model, data=values)).get_trace()
        for name, site in trace.nodes.items():
            if name in unconstrained and name not in values:
                transform = biject_to(site["fn"].support)
                values[name] = transform(unconstrained[name])
                jacobian = transform.log_abs_det_jacobian(unconstrained[name], values[name])
                total = total + jacobian.sum()
                break
    trace = poutine.trace(poutine.condition(model, data=values)).get_trace()
    return total + trace.log_prob_sum()


@pytest.mark.parametrize("model", MODELS)
def test_the_potential_is_the_negative_log_density_with_jacobian(model):
    torch.manual_seed(0)
    params, potential, _, _ = initialize_model(model)
    assert_close(potential(params), -log_density_by_hand(model, params))


def test_the_potential_of_a_gamma_is_its_density_in_log_space():
    _, potential, transforms, _ = initialize_model(
        lambda: sample("x", dist.Gamma(torch.tensor(3.0).double(), 2.0))
    )
    u = torch.linspace(-2, 2, 9, dtype=torch.float64)
    x = u.exp()
    expected = 2 * x - 3 * u + math.lgamma(3.0) - 3 * math.log(2.0)
    assert_close(torch.stack([potential({"x": z}) for z in u]), expected)
    assert_close(transforms["x"](x), u)


@pytest.mark.parametrize("model", MODELS)
def test_the_recorded_potential_and_gradient_are_those_of_autograd(model):
    torch.manual_seed(0)
    target = target_of(model)
    with validation_enabled(False), warnings.catch_warnings():
        warnings.simplefilter("error")  # no fall-back
        recorded = recorded_potential(target.potential, target.start)
        position = target.start + torch.randn(
            target.start.shape, generator=generator(1), dtype=target.start.dtype
        )
        expected = loop_potential(target.potential)(position)
        assert_close(recorded(position), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_constrained_values_lie_in_the_support_and_keep_the_dtype(model):
    torch.manual_seed(0)
    target = target_of(model)
    draws = torch.randn(2, 5, *target.start.shape[1:], dtype=target.start.dtype)
    values = target.constrain(draws)
    trace = poutine.trace(model).get_trace()
    for name in target.layout.names:
        site = trace.nodes[name]
        assert values[name].shape == (2, 5, *site["value"].shape)
        assert values[name].dtype == site["value"].dtype
        if name != "inner":  # whose support is another one in each draw
            assert site["fn"].support.check(values[name]).all()


def test_a_support_that_depends_on_another_site_is_looked_up_at_each_draw():
    target = target_of(nested_support_model)
    values = target.constrain(3 * torch.randn(2, 50, 2, dtype=torch.float64))
    assert (values["inner"] < values["upper"]).all()
    assert_close(values["ratio"], values["inner"] / values["upper"])


def test_given_transforms_are_used_instead_of_the_registered_ones():
    softplus = biject_to(constraints.positive).inv  # log
    half = torch.distributions.transforms.ComposeTransform(
        [softplus, torch.distributions.transforms.AffineTransform(0.0, 0.5)]
    )

    def model():
        sample("x", dist.Gamma(torch.tensor(3.0).double(), 2.0))

    _, plain, _, _ = initialize_model(model)
    _, given, transforms, _ = initialize_model(model, transforms={"x": half})
    u = torch.tensor(0.7, dtype=torch.float64)
    assert_close(given({"x": u / 2}), plain({"x": u}) - math.log(2.0))
    assert_close(transforms["x"].inv(u / 2), u.exp())


def test_parameters_are_constants():
    clear_param_store()

    def model():
        scale = param("scale", torch.tensor(2.0))
        sample("z", dist.Normal(0.0, scale))

    params, potential, _, _ = initialize_model(model)
    assert set(params) == {"z"}
    assert_close(
        potential({"z": torch.tensor(1.0)}), -dist.Normal(0.0, 2.0).log_prob(torch.tensor(1.0))
    )
    clear_param_store()


def test_there_is_a_start_for_each_chain_and_they_differ():
    params, _, _, _ = initialize_model(normal_model, num_chains=3)
    assert params["mean"].shape == (3,)
    assert len(set(params["mean"].tolist())) == 3


def test_a_start_without_density_is_drawn_again():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        factor("half", torch.where(z > 0, 0.0, -torch.inf))

    params, _, _, _ = initialize_model(model, num_chains=20)
    assert (params["z"] > 0).all()


def test_a_model_without_density_anywhere_is_refused_with_the_name_of_the_site():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        factor("impossible", z - torch.inf)

    with pytest.raises(NotFiniteError, match="impossible"):
        initialize_model(model)


def test_a_model_without_continuous_latent_sites_has_an_empty_start():
    def model():
        sample("switch", dist.Bernoulli(0.5))
        sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))

    params, potential, transforms, trace = initialize_model(model)
    assert params == {}
    assert transforms == {}
    assert "x" in trace
    assert_close(potential({}), -dist.Normal(0.0, 1.0).log_prob(torch.tensor(1.0)))


def test_errors_of_the_model_show_up_with_the_name_of_the_site():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        sample("x", dist.Normal(z, 1.0), obs=torch.zeros(3).mul(torch.nan))

    with validation_enabled(True), pytest.raises(PPLError, match="'x'.*support"):
        initialize_model(model)


def test_a_plate_that_draws_a_subsample_is_refused_and_a_fixed_subset_is_not():
    def model(**which):
        z = sample("z", dist.Normal(0.0, 1.0))
        with plate("data", 100, **which) as index:
            sample("x", dist.Normal(z, 1.0), obs=torch.arange(100.0)[index])

    for error in (RuntimeError, NotImplementedError, ValueError, UnsupportedModelError):
        with pytest.raises(error, match="'data' draws a subsample of 5 of 100"):
            initialize_model(model, model_kwargs={"subsample_size": 5})
    fixed = {"subsample": torch.arange(5)}
    params, potential, _, _ = initialize_model(model, model_kwargs=fixed)
    assert potential(params) == potential(params)


def branching_model():
    z = sample("z", dist.Normal(0.0, 1.0))
    sample("x", dist.Normal(z if z > 0 else 2 * z, 1.0), obs=torch.tensor(1.0))


def random_model():
    z = sample("z", dist.Normal(0.0, 1.0))
    factor("noise", z * torch.randn(()))


@pytest.mark.parametrize("model", [branching_model, random_model])
def test_a_model_that_cannot_be_recorded_runs_chain_by_chain_with_one_warning(model):
    torch.manual_seed(0)
    target = target_of(model)
    with validation_enabled(False):
        with pytest.warns(PPLWarning, match="without recording") as seen:
            potential_and_grad = recorded_potential(target.potential, target.start)
        value, gradient = potential_and_grad(torch.tensor([[-1.0], [0.5], [1.0], [2.0]]))
    assert len(seen) == 1
    assert value.shape == (4,)
    assert gradient.shape == (4, 1)
    if model is branching_model:
        assert_close(gradient[:, 0], torch.tensor([-1.0 + 2 * (-2.0 - 1), 0.5 - 0.5, 1.0, 3.0]))


def fragile_model():
    z = sample("z", dist.Normal(0.0, 1.0))
    matrix = torch.stack((torch.stack((torch.ones(()), z)), torch.stack((z, torch.ones(())))))
    root = torch.linalg.cholesky(matrix)  # fails unless -1 < z < 1
    sample("x", dist.MultivariateNormal(torch.zeros(2), scale_tril=root), obs=torch.ones(2))


def fragile_solve_model():
    z = sample("z", dist.Normal(0.0, 1.0))
    matrix = torch.stack((torch.stack((z, torch.ones(()))), torch.ones(2)))
    solution = torch.linalg.solve(matrix, torch.tensor([1.0, 2.0]))  # fails where z is one
    sample("x", dist.Normal(solution, 1.0).to_event(1), obs=torch.zeros(2))


@pytest.mark.parametrize(("model", "bad"), [(fragile_model, 3.0), (fragile_solve_model, 1.0)])
@pytest.mark.parametrize(
    "how", [recorded_potential, lambda f, z: loop_potential(f)], ids=["recorded", "eager"]
)
def test_a_failed_factorization_is_nan_for_its_chain_only(how, model, bad):
    torch.manual_seed(0)
    target = target_of(model)
    with validation_enabled(False):
        potential_and_grad = how(target.potential, target.start)
        value, gradient = potential_and_grad(torch.tensor([[0.5], [bad], [-0.5], [0.1]]))
    assert value.isnan().tolist() == [False, True, False, False]
    assert gradient.isnan().any(-1).tolist() == [False, True, False, False]


def eigenvalue_model():
    z = sample("z", dist.Normal(0.0, 1.0))
    matrix = torch.eye(2) * torch.where(z > 2, torch.inf, z) + torch.tensor(
        [[0.0, 1.0], [0.0, 1.0]]
    )
    factor("eigenvalues", -torch.linalg.eig(matrix).eigenvalues.real.square().sum())


@pytest.mark.parametrize(
    "how", [recorded_potential, lambda f, z: loop_potential(f)], ids=["recorded", "eager"]
)
def test_an_infinite_matrix_without_eigenvalues_is_nan_for_its_chain_only(how):
    torch.manual_seed(0)
    target = target_of(eigenvalue_model)
    with validation_enabled(False):
        value, _ = how(target.potential, target.start)(torch.tensor([[0.5], [3.0], [-0.5], [0.1]]))
    assert value.isnan().tolist() == [False, True, False, False]


ROWS = torch.randn(20, 3, generator=generator(3))
OUTSIDE = {
    "independent": dist.Normal(0.0, 1.0, validate_args=True).expand([3]).to_event(1),
    "masked": dist.Normal(0.0, 1.0, validate_args=True)
    .expand([3])
    .mask(torch.tensor([True, False, True]))
    .to_event(1),
    "transformed": dist.LogNormal(torch.zeros(3), 1.0, validate_args=True).to_event(1),
    "mixture": dist.MixtureSameFamily(
        dist.Categorical(torch.ones(2), validate_args=True),
        dist.Normal(torch.zeros(2), 1.0, validate_args=True),
    ),
    "multivariate": dist.MultivariateNormal(torch.zeros(3), torch.eye(3), validate_args=True),
    "simplex": dist.Dirichlet(torch.ones(3), validate_args=True),
}


def sparse_model():
    w = sample("w", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    sample("x", dist.Normal(ROWS.to_sparse() @ w, 1.0).to_event(1), obs=torch.ones(20))


def partly_observed_model():
    z = sample("z", dist.Normal(0.0, 1.0))
    with plate("data", 3):
        mask = torch.tensor([True, False, True])
        sample("x", dist.Normal(z, 1.0), obs=torch.arange(3.0), obs_mask=mask)


@pytest.mark.parametrize("prior", OUTSIDE.values(), ids=OUTSIDE)
def test_a_prior_that_was_made_outside_with_checks_is_recorded(prior):
    assert_is_recorded(lambda: sample("z", prior))


@pytest.mark.parametrize("model", [sparse_model, partly_observed_model])
def test_models_with_sparse_matrices_and_missing_data_are_recorded(model):
    assert_is_recorded(model)


def assert_is_recorded(model):
    torch.manual_seed(0)
    target = target_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fall-back
        recorded = recorded_potential(target.potential, target.start)
    expected = loop_potential(target.potential)(target.start)
    assert_close(recorded(target.start), expected, rtol=1e-4, atol=1e-4)


def test_a_recording_costs_no_random_numbers():
    target = target_of(normal_model)
    state = torch.get_rng_state()
    recorded_potential(target.potential, target.start)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_latent_sites_of_half_precision_are_refused(dtype):
    with pytest.raises(UnsupportedModelError, match="'z'.*float32"):
        target_of(lambda: sample("z", dist.Normal(torch.zeros((), dtype=dtype), 1.0)))


# what keeps chains from running together: the law is that nothing is fallen back from in silence


def test_a_potential_that_cannot_be_batched_runs_chain_by_chain_with_the_reason():
    def branching(z):
        return z.sum() if float(z.sum()) > 0 else -z.sum()

    with pytest.warns(PPLWarning, match=r"chain by chain.*float\(z"):
        value, gradient = vmap_potential(branching)(torch.tensor([[1.0], [-2.0]]))
    assert_close(value, torch.tensor([1.0, 2.0]))
    assert_close(gradient, torch.tensor([[1.0], [-1.0]]))


@pytest.mark.parametrize("error", [NameError("misspelt"), TypeError("wrong")], ids=repr)
def test_a_mistake_in_a_potential_is_raised_at_its_first_execution(error):
    executions = []

    def mistaken(z):
        executions.append(z)
        raise error

    with pytest.raises(type(error)):
        vmap_potential(mistaken)(torch.zeros(3, 1))
    assert len(executions) == 1


def test_a_matrix_of_one_chain_is_that_chain_s_matter():
    def potential(z):
        return torch.linalg.cholesky(z.reshape(1, 1)).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, _ = vmap_potential(potential)(torch.tensor([[4.0], [-1.0]]))
    assert_close(value, torch.tensor([2.0, torch.nan]), equal_nan=True)
