"""Points without density: they never end a run, whatever the model raises there.

The law that was missing: an invalid parameter, or an exception that comes from the values of the
sites, is a point of density zero, for the search of a start, in sampling, and in every tier.
"""

from __future__ import annotations

import warnings

import pytest
import torch

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl import settings
from ppl.errors import NotFiniteError
from ppl.infer.mcmc import MCMC, NUTS
from ppl.infer.mcmc.target.parameters import all_valid
from ppl.infer.mcmc.target.potential import ModelPotential
from ppl.infer.mcmc.target.structure import StructureError
from ppl.infer.mcmc.util import initialize_model
from ppl.primitives import factor, plate, sample
from ppl.validation import validation_enabled

X = torch.linspace(-1.0, 2.0, 8)


def linear_rate():
    a, b = (sample(name, dist.Normal(0.0, 5.0)) for name in "ab")
    with plate("rows", 8):
        sample("y", dist.Poisson(a + b * X), obs=torch.tensor([0.0, 1, 1, 2, 1, 2, 4, 3]))


def root():
    z = sample("z", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(z.sqrt(), 1.0), obs=torch.tensor(1.0))


def logarithm():
    z = sample("z", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(z.log(), 1.0), obs=torch.tensor(0.5))


def mean_and_deviation():
    m, s = sample("m", dist.Normal(0.0, 5.0)), sample("s", dist.Normal(0.0, 5.0))
    sample("y", dist.Gamma(m**2 / s**2, m / s**2), obs=torch.tensor(2.0))


def signed_scale():
    s = sample("s", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(0.0, s), obs=torch.tensor(1.0))


@pytest.mark.parametrize("is_checked", [False, True])
@pytest.mark.parametrize("model", [linear_rate, root, logarithm, mean_and_deviation, signed_scale])
def test_a_draw_that_makes_an_invalid_parameter_ends_no_run(model, is_checked):
    for seed in range(3):
        run(model, seed, disable_validation=not is_checked)


def run(model, seed=0, num_samples=15, tier="auto", **options):
    torch.manual_seed(seed)
    with settings.context(mcmc_execution=tier), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mcmc = MCMC(NUTS(model), num_samples, 15, disable_progbar=True, **options)
        mcmc.run()
    return mcmc


INVALID = {
    "Poisson": (lambda p: dist.Poisson(p), 0.0),
    "Gamma": (lambda p: dist.Gamma(p, 1.0), 1.0),
    "Beta": (lambda p: dist.Beta(1.0, p), 0.5),
    "Bernoulli": (lambda p: dist.Bernoulli(probs=p), 0.0),
    "Bernoulli above": (lambda p: dist.Bernoulli(probs=1.0 - p), 1.0),
    "StudentT": (lambda p: dist.StudentT(p), 0.0),
    "NegativeBinomial": (lambda p: dist.NegativeBinomial(p, probs=0.5), 1.0),
    "Dirichlet": (lambda p: dist.Dirichlet(torch.stack((p, p))), [0.5, 0.5]),
    "Categorical": (lambda p: dist.Categorical(torch.stack((p, 1.0 - p))), 1.0),
    "independent": (lambda p: dist.Poisson(p.expand(2)).to_event(1), [0.0, 0.0]),
    "expanded": (lambda p: dist.InverseGamma(p, 1.0).expand([2]).to_event(1), [1.0, 1.0]),
    "mixture": (
        lambda p: dist.MixtureSameFamily(
            dist.Categorical(torch.ones(2)), dist.Poisson(torch.stack((p, 2 * p)))
        ),
        0.0,
    ),
    "zero inflated": (lambda p: dist.ZeroInflatedPoisson(p, gate=torch.tensor(0.1)), 0.0),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_parameter_has_no_density_though_its_formula_gives_a_number(name):
    make, value = INVALID[name]

    def model():
        p = sample("p", dist.Normal(0.0, 1.0))
        sample("y", make(p), obs=torch.tensor(value))

    torch.manual_seed(0)
    _, potential, _, _ = initialize_model(model)
    for requires_grad in (False, True):
        at = torch.tensor([-0.5, 0.5]).requires_grad_(requires_grad)
        with validation_enabled(False):
            found = torch.stack([potential({"p": p}) for p in at])
        assert found.isinf().tolist() == [True, False]


@pytest.mark.parametrize("by", ["handler", "distribution"])
def test_what_a_mask_leaves_out_may_be_invalid(by):
    mask, rates = torch.tensor([True, False]), torch.tensor([1.0, -1.0])

    def model():
        rate = sample("z", dist.Normal(0.0, 1.0)).exp() * rates
        fn = dist.Poisson(rate)
        with plate("rows", 2), poutine.mask(mask=mask if by == "handler" else True):
            sample("y", fn.mask(mask) if by == "distribution" else fn, obs=torch.zeros(2))

    with validation_enabled(False):
        trace = poutine.trace(model).get_trace()
    sites = [(n, s) for n, s in trace.nodes.items() if s["type"] == "sample"]
    assert all_valid(iter(sites), None, only_varying=False)


def overflow(x):
    return int((1e6 * (x - 1)).exp())


def refuse(x):
    if x > 1:
        raise ValueError("x is too large")


def check(x):
    assert x < 1


def look_up(x):
    return {-1: 0, 0: 0, 1: 0}[int((x + 2) / 3) if x < 1 else 7]


def factorize(x):
    return torch.linalg.cholesky((1 - x) * torch.eye(2))


def eigenvalues(x):
    return torch.linalg.eig(torch.where(x > 1, torch.inf, 1.0) * torch.ones(2, 2)).eigenvalues


FAILURES = [overflow, refuse, check, look_up, factorize, eigenvalues]


def failing(fail):
    def model():
        x = sample("x", dist.Normal(0.0, 1.0))
        result = fail(x)
        if isinstance(result, torch.Tensor):
            factor("used", 0.0 * result.real.sum())

    return model


@pytest.mark.parametrize("tier", ["eager", "graph", "inductor"])
@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__)
def test_an_exception_at_a_point_is_no_end_but_a_density_of_zero(fail, tier):
    for seed in range(2):
        draws = run(failing(fail), seed, 60, tier).get_samples()["x"]
        assert (draws < 1.001).all()
        assert draws.std() > 0.2


def test_looking_for_the_cause_of_a_point_does_not_end_the_process():
    def model():
        x = sample("x", dist.Normal(0.0, 1.0))
        matrix = torch.where(x > 1, torch.inf, 1.0) * torch.eye(2)
        factor("eigenvalues", torch.linalg.eigvals(matrix).abs().sum())

    (cause,) = ModelPotential(model, (), {}, {}).faults({"x": torch.tensor(2.0)})
    assert "a matrix that is not finite" in cause


def test_a_mistake_in_the_program_is_raised_at_once():
    executions = []

    def model():
        executions.append(sample("x", dist.Normal(0.0, 1.0)))
        undefined_name  # noqa: B018,F821

    with pytest.raises(NameError):
        run(model)
    assert len(executions) == 1


def test_an_error_that_is_the_same_everywhere_keeps_its_class():
    def model():
        sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1)) + torch.zeros(3)

    with pytest.raises(RuntimeError, match="must match"):
        run(model)


def test_without_a_start_the_error_says_which_parameter_was_invalid_how_often():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(0.0, -z.exp()), obs=torch.tensor(0.0))

    with pytest.raises(ValueError, match="scale"):
        run(model)
    with pytest.raises(NotFiniteError, match=r"'scale' of site 'y'.*Normal \(100 times\)"):
        initialize_model(model)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (1.0, torch.inf, r"the observation of site 'y': 1 of 8 .* index \[2\], is not finite"),
        (torch.nan, 1.0, r"the parameter 'loc' of site 'y': 1 of 8 .* index \[2\], is nan"),
    ],
)
def test_without_a_start_the_error_says_what_is_wrong_with_the_data(x, y, message):
    covariate, data = X.clone(), torch.zeros(8)
    covariate[2], data[2] = x, y

    def model():
        slope = sample("slope", dist.Normal(0.0, 1.0))
        with plate("rows", 8):
            sample("y", dist.Normal(slope * covariate, 1.0), obs=data)

    with validation_enabled(False), pytest.raises(NotFiniteError, match=message):
        initialize_model(model)


def test_the_report_says_which_parameter_was_invalid_where_transitions_diverged():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match=r"'rate' of site 'y' is not GreaterThan.*times"):
        MCMC(NUTS(linear_rate), 200, disable_progbar=True).run()


def test_the_report_says_which_line_raised_where_transitions_diverged():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match=r"x is too large, at .*test_faults.py:\d+"):
        MCMC(NUTS(failing(refuse)), 200, disable_progbar=True).run()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sites_in_half_precision_are_refused_with_a_cure(dtype):
    one = torch.ones((), dtype=dtype)
    with pytest.raises(ValueError, match=r"'x' has dtype.*\.float\(\)"):
        run(lambda: sample("x", dist.Normal(one, one)))


def test_data_made_in_inference_mode_can_be_sampled_with():
    def model(data):
        sample("y", dist.Normal(sample("x", dist.Normal(0.0, 1.0)), 1.0), obs=data)

    with torch.inference_mode():
        data = torch.tensor(2.0) + 1.0
        mcmc = MCMC(NUTS(model), 10, 10, disable_progbar=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mcmc.run(data)
    assert mcmc.get_samples()["x"].shape == (10,)


def branch(x):
    if x > 0:
        sample("z", dist.Normal(0.0, 1.0))


def grow(x):
    sample("z", dist.Normal(torch.zeros(2 if x > 0 else 3), 1.0).to_event(1))


def loop(x):
    for i in range(1 + int(x.abs() > 1)):
        sample(f"z_{i}", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize("part", [branch, grow, loop], ids=lambda part: part.__name__)
def test_sites_that_depend_on_values_are_refused_with_site_line_and_cure(part):
    """The law: a density on positions of one size needs the same sites in every execution."""
    for seed in range(5):
        with pytest.raises(StructureError, match=r"'z.*test_faults.py:\d+.*torch.where"):
            run(lambda: part(sample("x", dist.Normal(0.0, 1.0))), seed)


def test_a_likelihood_may_depend_on_a_branch():
    def model():
        x = sample("x", dist.Normal(0.0, 1.0))
        sample("high" if x > 0 else "low", dist.Normal(x, 1.0), obs=torch.tensor(0.0))

    assert run(model, num_samples=60).get_samples()["x"].std() > 0.3
