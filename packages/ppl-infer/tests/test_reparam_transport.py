"""Latent sites in the space of a trained guide."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.distributions.transforms as T
import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.infer.initialization import InitMessenger, init_to_value
from ppl.infer.reparam import NeuTraReparam, StructuredReparam
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import plate, sample


def model() -> None:
    with plate("rows", 3):
        b = sample("b", dist.LogNormal(0.5, 1.0))
    a = sample("a", dist.Normal(0.0, 1.0))
    sample("c", dist.Dirichlet(torch.ones(3)))
    sample("y", dist.Normal(a + b.sum(), 1.0), obs=torch.tensor(0.0))


def run(program: Any) -> poutine.Trace:
    trace: poutine.Trace = prune_subsample_sites(poutine.trace(program).get_trace())
    return trace


class Affine:
    """A guide with a full covariance: the part of its face that transport uses."""

    def __init__(self, model: Any) -> None:
        self.prototype_trace = run(model)
        torch.manual_seed(0)
        self.tril = torch.randn(6, 6).tril(-1) + torch.diag(torch.rand(6) + 0.5)
        self.loc = torch.randn(6)

    def get_base_dist(self) -> Any:
        return dist.Normal(torch.zeros(6), 1.0).to_event(1)

    def get_transform(self) -> Any:
        return T.LowerCholeskyAffine(self.loc, self.tril)

    def get_deltas(self, save_params: Any = None) -> dict[str, Any]:
        """As of a mean-field guide, of the sites that the model has."""
        sites = dict(self.prototype_trace.iter_stochastic_nodes())
        deltas = {}
        for name, site in sites.items():
            transform = T.biject_to(site["fn"].support)
            like = transform.inv(site["value"])
            noise = sample(f"{name}_aux", dist.Normal(torch.zeros_like(like), 1.0).to_event())
            value = transform(2 * noise)
            log_det = transform.log_abs_det_jacobian(2 * noise, value)
            log_det = log_det + torch.full_like(like, 2.0).log().sum() / max(1, log_det.numel())
            deltas[name] = dist.Delta(value, -log_det, event_dim=site["fn"].event_dim)
        return deltas


def latent_at(trace: poutine.Trace) -> dict[str, Any]:
    return {name: trace.nodes[name]["value"] for name in ("a", "b", "c")}


@pytest.fixture
def guide() -> Affine:
    return Affine(model)


def test_all_latent_sites_are_functions_of_one(guide: Affine) -> None:
    trace = run(NeuTraReparam(guide).reparam(model))
    assert trace.stochastic_nodes == ["b_shared_latent"]
    assert trace.nodes["b_shared_latent"]["value"].shape == (6,)
    assert {n for n, s in trace.nodes.items() if s.get("infer", {}).get("_deterministic")} >= {
        *"abc"
    }


@pytest.mark.parametrize("rule", [NeuTraReparam, StructuredReparam])
def test_the_density_is_that_of_the_change_of_variables(guide: Affine, rule: Any) -> None:
    program = rule(guide).reparam(model)
    trace = run(program)
    plain = run(poutine.condition(model, data=latent_at(trace)))
    noise = {name: site["value"] for name, site in trace.iter_stochastic_nodes()}
    sizes = [x.numel() for x in noise.values()]

    def free_of(packed: torch.Tensor) -> torch.Tensor:  # on the simplex two of three are free
        parts = dict(zip(noise, packed.split(sizes), strict=True))
        given = {name: part.reshape(noise[name].shape) for name, part in parts.items()}
        at = latent_at(run(poutine.substitute(program, data=given)))
        return torch.cat([at["b"], at["a"].reshape(1), at["c"][:2]])

    packed = torch.cat([x.reshape(-1) for x in noise.values()])
    jacobian = torch.autograd.functional.jacobian(free_of, packed)
    want = plain.log_prob_sum() + jacobian.det().abs().log()
    got = trace.log_prob_sum()
    if rule is StructuredReparam:
        got = got - sum(trace.nodes[name]["fn"].log_prob(x) for name, x in noise.items())
    assert_close(got, want, atol=1e-3, rtol=1e-4)


def test_samples_of_the_shared_site_give_those_of_the_model(guide: Affine) -> None:
    neutra = NeuTraReparam(guide)
    trace = run(neutra.reparam(model))
    z = trace.nodes["b_shared_latent"]["value"]
    for name, value in neutra.transform_sample(z).items():
        assert_close(value, trace.nodes[name]["value"])
    many = neutra.transform_sample(z.expand(7, 6))
    assert {n: tuple(x.shape) for n, x in many.items()} == {"b": (7, 3), "a": (7,), "c": (7, 3)}
    roomy = neutra.transform_sample(z.expand(7, 1, 6))
    assert {n: tuple(x.shape) for n, x in roomy.items()} == {
        "b": (7, 3),
        "a": (7, 1),
        "c": (7, 1, 3),
    }


def test_each_run_has_a_draw_of_its_own_also_after_a_failure(guide: Affine) -> None:
    neutra = NeuTraReparam(guide)
    program = neutra.reparam(model)

    def failing() -> None:
        with plate("rows", 3):
            sample("b", dist.LogNormal(0.5, 1.0))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        neutra.reparam(failing)()
    first, second = (run(program) for _ in range(2))
    assert first.stochastic_nodes == second.stochastic_nodes == ["b_shared_latent"]
    assert first.nodes["a"]["value"] != second.nodes["a"]["value"]


@pytest.mark.parametrize("rule", [NeuTraReparam, StructuredReparam])
def test_a_site_of_the_guide_must_be_latent(guide: Affine, rule: Any) -> None:
    program = rule(guide).reparam(poutine.condition(model, data={"a": torch.tensor(1.0)}))
    with pytest.raises(NotImplementedError, match="site 'a': .*latent sites only"):
        program()


def test_an_initial_value_of_one_site_is_left_out_with_a_warning(guide: Affine) -> None:
    start = InitMessenger(init_to_value(values={"a": torch.tensor(1.0)}))
    with pytest.warns(UserWarning, match="site 'a': its initial value is left out"):
        start(NeuTraReparam(guide).reparam(model))()


@pytest.mark.parametrize("rule", [NeuTraReparam, StructuredReparam])
def test_other_guides_are_refused(rule: Any) -> None:
    with pytest.raises(TypeError, match=f"{rule.__name__} needs a"):
        rule(model)


def test_a_guide_must_have_seen_its_model(guide: Affine) -> None:
    guide.prototype_trace = None
    with pytest.raises(SiteError, match="has not seen its model yet"):
        NeuTraReparam(guide).reparam(model)()


def test_a_transported_program_can_be_copied(guide: Affine) -> None:
    again = pickle.loads(pickle.dumps(NeuTraReparam(guide)))
    z = torch.zeros(6)
    assert_close(again.transform_sample(z), NeuTraReparam(guide).transform_sample(z))


def test_noise_gives_the_samples_of_the_model(guide: Affine) -> None:
    structured = StructuredReparam(guide)
    trace = run(structured.reparam(model))
    noise = {name: site["value"] for name, site in trace.iter_stochastic_nodes()}
    assert list(noise) == ["b_aux", "a_aux", "c_aux"]
    for name, value in structured.transform_samples(noise).items():
        assert_close(value, trace.nodes[name]["value"])
