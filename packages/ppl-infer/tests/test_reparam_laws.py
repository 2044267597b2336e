"""Laws of all reparameterizers: the model keeps its meaning, its sites say so."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.distributions.transforms as T
import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.infer import reparam
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import clear_param_store, param_store, plate, sample


@dataclass(frozen=True)
class Case:
    """A site, its reparameterizer, and what becomes of it.

    Args:
        family: From a location (a latent parameter) to the distribution of the site.
        latent: The names of the auxiliary sites, and of the site itself where it stays latent.
        is_bijective: Whether the site is a bijective function of the auxiliary ones.
        observable: Whether it may be observed.
    """

    name: str
    family: Callable[[Tensor], Any]
    rule: Callable[[], Any]
    latent: list[str]
    is_bijective: bool = True
    observable: bool = True

    def __str__(self) -> str:
        return self.name


def normal(loc: Tensor) -> Any:
    return dist.Normal(loc, 2.0)


def vector(loc: Tensor) -> Any:
    return dist.Normal(loc.unsqueeze(-1) + torch.arange(5.0), 2.0).to_event(1)


def stable(skew: float, stability: float = 1.6) -> Callable[[Tensor], Any]:
    return lambda loc: dist.Stable(stability, skew, 1.3, loc)


def student_t(loc: Tensor) -> Any:
    return dist.StudentT(3.0, loc, 2.0)


def square_wave(loc: Tensor) -> Any:
    return dist.TransformedDistribution(
        vector(loc), [T.AffineTransform(1.0, 3.0), T.ExpTransform()]
    )


def correlations(loc: Tensor) -> Any:
    base = dist.Normal(loc.unsqueeze(-1) + torch.arange(3.0), 0.5).to_event(1)
    return dist.TransformedDistribution(base, [T.CorrCholeskyTransform()])


STABLE = ["x_uniform", "x_exponential"]
TWO_STABLE = ["x_z_uniform", "x_z_exponential", "x_t_uniform", "x_t_exponential"]
LEARNED, HALF = reparam.LocScaleReparam, lambda: reparam.LocScaleReparam(0.4)
EACH = lambda: reparam.LocScaleReparam(torch.linspace(0, 1, 5))  # noqa: E731
CASES = [
    Case("decentered", normal, lambda: reparam.LocScaleReparam(0.0), ["x_decentered"]),
    Case("centered", normal, lambda: reparam.LocScaleReparam(1.0), ["x"]),
    Case("between", normal, HALF, ["x_decentered"]),
    Case("learned", normal, LEARNED, ["x_decentered"]),
    Case("learned-vector", vector, LEARNED, ["x_decentered"]),
    Case("each", vector, EACH, ["x_decentered"]),
    Case("decentered-t", student_t, HALF, ["x_decentered"]),
    Case("decentered-stable", stable(0.3), HALF, ["x_decentered"]),
    Case("masked", lambda loc: normal(loc).mask(True), HALF, ["x_decentered"]),
    Case("base", lambda loc: dist.LogNormal(loc, 0.5), reparam.TransformReparam, ["x_base"]),
    Case("base-vector", square_wave, reparam.TransformReparam, ["x_base"]),
    Case("of-vectors", correlations, reparam.TransformReparam, ["x_base"], False),
    Case("cosine", vector, reparam.DiscreteCosineReparam, ["x_dct"]),
    Case("smooth", vector, lambda: reparam.DiscreteCosineReparam(smooth=1.0), ["x_dct"]),
    Case("haar", vector, reparam.HaarReparam, ["x_haar"]),
    Case("haar-flip", vector, lambda: reparam.HaarReparam(flip=True), ["x_haar"]),
    Case(
        "any-jacobian",
        vector,
        lambda: reparam.UnitJacobianReparam(T.AffineTransform(1.0, 3.0, event_dim=1), "scaled"),
        ["x_scaled"],
    ),
    Case("split", vector, lambda: reparam.SplitReparam([2, 3], -1), ["x_split_0", "x_split_1"]),
    Case("t", student_t, reparam.StudentTReparam, ["x_gamma", "x"], False),
    Case("latent-stable", stable(0.7), reparam.LatentStableReparam, STABLE, False, False),
    Case("cauchy", stable(-0.7, 1.0), reparam.LatentStableReparam, STABLE, False, False),
    Case("symmetric", stable(0.0), reparam.SymmetricStableReparam, [*STABLE, "x"], False),
    Case("symmetric-2", stable(0.0, 2.0), reparam.SymmetricStableReparam, [*STABLE, "x"], False),
    Case("skewed", stable(0.7), reparam.StableReparam, [*TWO_STABLE, "x"], False),
    Case("skewed-left", stable(-0.4, 0.8), reparam.StableReparam, [*TWO_STABLE, "x"], False),
    Case("skewed-cauchy", stable(0.5, 1.0), reparam.StableReparam, [*TWO_STABLE, "x"], False),
    Case(
        "direction",
        lambda loc: dist.ProjectedNormal(torch.stack([loc, 1 + 0 * loc, 0.5 + 0 * loc], -1)),
        reparam.ProjectedNormalReparam,
        ["x_normal"],
        False,
        False,
    ),
    Case(
        "gumbel",
        lambda loc: dist.RelaxedOneHotCategorical(
            0.5 + 0 * loc, logits=torch.stack([loc, 1 + 0 * loc, 0 * loc], -1)
        ),
        reparam.GumbelSoftmaxReparam,
        ["x_uniform"],
        False,
        False,
    ),
    Case(
        "gumbel-rows",
        lambda loc: dist.RelaxedOneHotCategorical(
            torch.tensor([[0.5], [2.0]]) + 0 * loc,
            logits=loc.unsqueeze(-1).unsqueeze(-1) * torch.ones(2, 3) + torch.eye(3)[:2],
        ).to_event(1),
        reparam.GumbelSoftmaxReparam,
        ["x_uniform"],
        False,
        False,
    ),
    Case(
        "straight-through",
        lambda loc: dist.RelaxedOneHotCategoricalStraightThrough(
            0.5 + 0 * loc, logits=torch.stack([loc, 1 + 0 * loc, 0 * loc], -1)
        ),
        reparam.GumbelSoftmaxReparam,
        ["x_uniform"],
        False,
        False,
    ),
    Case(
        "angle",
        lambda loc: dist.VonMises(loc, 2.0),
        reparam.CircularReparam,
        ["x_unwrapped"],
        True,
        False,
    ),
]
BIJECTIVE = [case for case in CASES if case.is_bijective]
OBSERVABLE = [case for case in CASES if case.observable]
MIXTURES = [case for case in OBSERVABLE if "x" in case.latent and len(case.latent) > 1]
WITHOUT_AUXILIARY = [case for case in OBSERVABLE if case not in MIXTURES]
LOC = torch.tensor(0.3)
every = pytest.mark.parametrize


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    with param_store():
        clear_param_store()
        torch.manual_seed(0)
        yield


def model_of(case: Case, obs: Tensor | None = None, shape: tuple[int, ...] = ()) -> Any:
    def model(loc: Tensor = LOC) -> Tensor:
        if not shape:
            return sample("x", case.family(loc), obs=obs)
        with plate("rows", shape[0]):
            return sample("x", case.family(loc), obs=obs)

    return model


def rewritten(case: Case, **kwargs: Any) -> Any:
    return poutine.reparam(model_of(case, **kwargs), config={"x": case.rule()})


def trace_of(case: Case, **kwargs: Any) -> poutine.Trace:
    return poutine.trace(rewritten(case, **kwargs)).get_trace()


def values_of(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: site["value"].detach() for name, site in trace.iter_stochastic_nodes()}


@every("case", CASES, ids=str)
def test_a_site_becomes_its_auxiliary_sites_and_a_deterministic_one(case: Case) -> None:
    trace = trace_of(case)
    assert trace.stochastic_nodes == case.latent
    site = trace.nodes["x"]
    assert site["is_observed"] == ("x" not in case.latent)
    assert site["fn"].event_shape == case.family(LOC).event_shape
    assert site["fn"].batch_shape == case.family(LOC).batch_shape


@every("case", BIJECTIVE, ids=str)
def test_the_density_is_that_of_the_change_of_variables(case: Case) -> None:
    trace = trace_of(case)
    names, values = list(values_of(trace)), list(values_of(trace).values())
    sizes = [value.numel() for value in values]

    def x_of(packed: Tensor) -> Tensor:
        parts = [p.reshape(v.shape) for p, v in zip(packed.split(sizes), values, strict=True)]
        given = dict(zip(names, parts, strict=True))
        return poutine.substitute(rewritten(case), data=given)().reshape(-1)

    packed = torch.cat([value.reshape(-1) for value in values])
    jacobian = torch.autograd.functional.jacobian(x_of, packed)
    want = case.family(LOC).log_prob(trace.nodes["x"]["value"]) + jacobian.det().abs().log()
    assert_close(trace.log_prob_sum(), want, atol=2e-4, rtol=1e-4)


@every("case", CASES, ids=str)
def test_draws_have_the_law_of_the_site(case: Case) -> None:
    # 6 real parts and 6 imaginary ones at 5 standard errors: a false alarm in 1e5 runs
    count = 20_000
    got = rewritten(case, shape=(count,))().reshape(count, -1).detach()
    want = case.family(LOC).expand((count,)).sample().reshape(count, -1)
    direction = torch.linspace(0.4, 1.0, got.shape[-1])
    for frequency in (0.2, 0.5, 1.0):
        for part in (torch.cos, torch.sin):
            gap = part(frequency * got @ direction) - part(frequency * want @ direction)
            assert gap.mean().abs() < 5 * math.sqrt(2 / count) / math.sqrt(2)


@every("case", WITHOUT_AUXILIARY, ids=str)
def test_an_observation_keeps_its_density(case: Case) -> None:
    obs = case.family(torch.tensor(0.1)).sample()
    loc = LOC.clone().requires_grad_()
    trace = poutine.trace(rewritten(case, obs=obs)).get_trace(loc)
    assert trace.stochastic_nodes == []
    assert trace.nodes["x"]["is_observed"]
    assert_close(trace.nodes["x"]["value"], obs)
    want = case.family(loc).log_prob(obs)
    assert_close(trace.log_prob_sum(), want, atol=1e-4, rtol=1e-4)
    got_grad, want_grad = (torch.autograd.grad(x, loc)[0] for x in (trace.log_prob_sum(), want))
    assert_close(got_grad, want_grad, atol=1e-4, rtol=1e-4)


@every("case", MIXTURES, ids=str)
def test_a_mixture_has_the_density_of_the_site(case: Case) -> None:
    # the mean of 4e4 densities at 5 standard errors: a false alarm in 1e6 runs
    obs = torch.tensor(1.1)
    trace = trace_of(case, obs=obs, shape=(40_000,))
    density = trace.nodes["x"]["fn"].log_prob(obs).exp().detach()
    gap = density.mean() - case.family(LOC).log_prob(obs).exp()
    assert gap.abs() < 5 * density.std() / math.sqrt(density.numel()) + 1e-6


@every("case", [case for case in CASES if not case.observable], ids=str)
def test_what_works_for_latent_sites_only_says_so(case: Case) -> None:
    obs = case.family(LOC).sample()
    with pytest.raises(NotImplementedError, match="site 'x': .* latent sites only"):
        trace_of(case, obs=obs)


@every("case", CASES, ids=str)
def test_gradients_reach_the_parameters(case: Case) -> None:
    loc = LOC.clone().requires_grad_()
    trace = poutine.trace(rewritten(case)).get_trace(loc)
    x = trace.nodes["x"]["value"]
    total = trace.log_prob_sum() + (x.reshape(-1) * torch.linspace(1, 2, x.numel())).sum()
    (grad,) = torch.autograd.grad(total, loc)
    assert grad.isfinite() and grad != 0


@every("case", CASES, ids=str)
def test_plates_around_a_site_and_around_the_program_are_alike(case: Case) -> None:
    inside = trace_of(case, shape=(4,))
    with plate("rows", 4):
        outside = trace_of(case)
    for name in [*case.latent, "x"]:
        for key in ("batch_shape", "event_shape"):
            want = getattr(inside.nodes[name]["fn"], key)
            assert getattr(outside.nodes[name]["fn"], key) == want
        assert inside.nodes[name]["fn"].batch_shape == (4,)
        assert inside.nodes[name]["value"].shape == outside.nodes[name]["value"].shape
    inside.compute_log_prob()
    assert all(inside.nodes[name]["log_prob"].shape == (4,) for name in case.latent)


@every("case", CASES, ids=str)
def test_replay_gives_the_same_run(case: Case) -> None:
    first = trace_of(case, shape=(3,))
    again = poutine.trace(poutine.replay(rewritten(case, shape=(3,)), trace=first)).get_trace()
    assert_close(again.nodes["x"]["value"], first.nodes["x"]["value"])
    assert_close(again.log_prob_sum(), first.log_prob_sum())


@every("case", OBSERVABLE, ids=str)
def test_condition_may_be_inside_or_outside(case: Case) -> None:
    obs = case.family(torch.tensor(0.1)).sample()
    rule = {"x": case.rule()}
    inside = poutine.reparam(poutine.condition(model_of(case), data={"x": obs}), config=rule)
    outside = poutine.condition(poutine.reparam(model_of(case), config=rule), data={"x": obs})
    torch.manual_seed(1)
    first = poutine.trace(inside).get_trace()
    torch.manual_seed(1)
    second = poutine.trace(outside).get_trace()
    assert_close(first.log_prob_sum(), second.log_prob_sum())
    assert_close(second.nodes["x"]["value"], obs)


@every("case", BIJECTIVE, ids=str)
def test_a_value_of_the_site_is_one_of_its_auxiliary_sites(case: Case) -> None:
    x = case.family(torch.tensor(0.1)).sample()
    for program in (
        poutine.substitute(rewritten(case), data={"x": x}),
        poutine.reparam(poutine.substitute(model_of(case), data={"x": x}), {"x": case.rule()}),
    ):
        trace = poutine.trace(program).get_trace()
        assert trace.stochastic_nodes == case.latent
        assert_close(trace.nodes["x"]["value"], x, atol=1e-4, rtol=1e-4)


@every("case", CASES, ids=str)
def test_rules_and_traces_can_be_copied_and_pickled(case: Case) -> None:
    trace = trace_of(case)
    for again in (copy.deepcopy(case.rule()), pickle.loads(pickle.dumps(case.rule()))):
        program = poutine.reparam(model_of(case), config={"x": again})
        other = poutine.trace(poutine.replay(program, trace=trace)).get_trace()
        assert_close(other.log_prob_sum(), trace.log_prob_sum())
    loaded = pickle.loads(pickle.dumps(trace))
    assert_close(loaded.log_prob_sum(), trace.log_prob_sum())


@every("case", CASES, ids=str)
def test_the_density_can_be_recorded_for_many_points(case: Case) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    from ppl.validation import validation_enabled

    values = values_of(trace_of(case))
    program = rewritten(case)
    many = {name: torch.stack([value, value]) for name, value in values.items()}

    def log_density(values: dict[str, Tensor]) -> Tensor:
        given = poutine.substitute(program, data=values)
        return poutine.trace(given).get_trace().log_prob_sum()

    with validation_enabled(False):
        batched = torch.func.vmap(torch.func.grad_and_value(log_density))
        recorded = make_fx(batched)(many)
        _, got = recorded(many)
    assert_close(got, log_density(values).expand(2).detach())


@every("case", CASES, ids=str)
def test_float64_stays_float64(case: Case) -> None:
    value = poutine.reparam(lambda: sample("x", case.family(LOC.double())), {"x": case.rule()})()
    assert value.dtype == case.family(LOC.double()).sample().dtype


@every("rule", [case.rule for case in CASES], ids=[case.name for case in CASES])
def test_another_distribution_is_refused_with_the_name_of_the_site(rule: Any) -> None:
    program = poutine.reparam(lambda: sample("x", dist.Gamma(2.0, 1.0)), config={"x": rule()})
    if isinstance(rule(), reparam.LocScaleReparam) or not isinstance(
        rule(), (reparam.UnitJacobianReparam, reparam.SplitReparam)
    ):
        with pytest.raises(reparam.UnsupportedDistributionError, match="site 'x': .* needs"):
            program()
    else:
        with pytest.raises(ValueError, match="site 'x'"):
            program()


def test_what_a_mask_hides_has_no_density() -> None:
    mask = torch.tensor([True, False])
    obs = torch.tensor([1.0, math.nan])

    def model() -> None:
        with plate("rows", 2):
            sample("x", dist.StudentT(3.0, 0.0, 1.0).mask(mask), obs=obs)
            sample("y", dist.LogNormal(0.0, 2.0).mask(mask), obs=obs)

    rules = {"x": reparam.StudentTReparam(), "y": reparam.TransformReparam()}
    trace = poutine.trace(poutine.reparam(model, config=rules)).get_trace()
    trace = prune_subsample_sites(trace)
    trace.compute_log_prob()
    assert all(site["log_prob"][1] == 0 for _, site in trace.iter_stochastic_nodes())
    y = sum(trace.nodes[name]["log_prob"] for name in ("y_base", "y"))
    assert_close(y, torch.stack([dist.LogNormal(0.0, 2.0).log_prob(obs[0]), torch.tensor(0.0)]))


def test_a_rule_of_the_first_releases_is_a_function_of_name_fn_and_obs() -> None:
    class Old(reparam.Reparam):
        def __call__(self, name: str, fn: Any, obs: Any) -> tuple[Any, Any]:
            return dist.Normal(fn.loc, 3.0), obs

    program = poutine.reparam(model_of(CASES[0]), config={"x": Old()})
    with pytest.warns(DeprecationWarning, match="is called apply"):
        trace = poutine.trace(program).get_trace()
    assert trace.nodes["x"]["fn"].scale == 3
    fn, value = reparam.LocScaleReparam(0.0)("x", dist.Normal(1.0, 2.0), None)
    assert_close(fn.base_dist.v, value)


def test_a_rule_without_apply_says_so() -> None:
    with pytest.raises(NotImplementedError, match="does not implement apply"):
        poutine.reparam(model_of(CASES[0]), config={"x": reparam.Reparam()})()
    with pytest.raises(SiteError, match="site 'x': 'LocScale' is no reparameterizer"):
        poutine.reparam(model_of(CASES[0]), config={"x": "LocScale"})()
