"""Guides written with the help of the model."""

import math

import pytest
import torch
from torch.distributions import biject_to
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.contrib.easyguide import EasyGuide, easy_guide
from ppl.errors import MissingSiteError, PlateError, ShapeError, SiteError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.optim import Adam


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(size=4, subsample_size=None):
    a = ppl.sample("a", dist.LogNormal(0.0, 1.0))
    ppl.sample("s", dist.Dirichlet(torch.ones(3)))
    with ppl.plate("rows", size, subsample_size=subsample_size, dim=-1):
        c = ppl.sample("c", dist.Normal(a, 1.0))
        ppl.sample("d", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        ppl.sample("y", dist.Normal(c, 1.0), obs=torch.tensor(0.5))


def normal(shape):
    return dist.Normal(torch.zeros(shape), 1.0).to_event(1)


@easy_guide(model)
def guide(self, size=4, subsample_size=None):
    top = self.group(match="[as]")
    loc = ppl.param("loc", torch.zeros(top.event_shape))
    top.sample("top", dist.Normal(loc, 1.0).to_event(1))
    rows = self.group(match="c|d")
    with self.plate("rows", size, subsample_size=subsample_size):
        rows.sample("local", normal(rows.event_shape))


def test_groups_are_vectors_on_the_unconstrained_scale():
    trace = poutine.trace(guide).get_trace(6, 3)
    assert trace.nodes["top"]["value"].shape == (1 + 2,)
    assert trace.nodes["local"]["value"].shape == (3, 4)
    assert trace.nodes["d"]["value"].shape == (3, 3)
    assert trace.nodes["top"]["infer"]["is_auxiliary"]
    simplex = biject_to(dist.constraints.simplex)
    assert_close(trace.nodes["a"]["value"].log(), trace.nodes["top"]["value"][0])
    assert_close(trace.nodes["s"]["value"], simplex(trace.nodes["top"]["value"][1:]))
    assert_close(trace.nodes["c"]["value"], trace.nodes["local"]["value"][:, 0])


def test_the_density_is_that_of_the_vector_and_the_transforms():
    trace = poutine.trace(guide).get_trace()
    top = trace.nodes["top"]["value"]
    simplex = biject_to(dist.constraints.simplex)
    jacobian = top[0] + simplex.log_abs_det_jacobian(top[1:], simplex(top[1:]))
    base = normal((3,)).log_prob(top) + normal((4,)).log_prob(trace.nodes["local"]["value"]).sum()
    assert_close(trace.log_prob_sum(), base - jacobian)


def test_a_group_across_plates_has_all_elements():
    @easy_guide(model)
    def all_in_one(self, size=4, subsample_size=None):
        group = self.group()
        assert group.event_shape == (1 + 2 + size * 4,)
        return group.sample("all", normal(group.event_shape))

    vector, values = all_in_one(6, 2)
    rows = all_in_one.plates["rows"].indices
    assert_close(values["c"], vector[3:9][rows])
    assert_close(values["d"], vector[9:].reshape(6, 3)[rows])
    draws = Predictive(all_in_one, num_samples=5, parallel=True)(6)
    assert draws["d"].shape == (5, 6, 3)


def test_points_are_learned_for_all_elements():
    @easy_guide(model)
    def points(self, *args):
        self.map_estimate("a")
        self.map_estimate("s")
        self.group(match="c|d").map_estimate()

    trace = poutine.trace(points).get_trace(6, 3)
    rows = trace.nodes["rows"]["value"]
    names = {name: tuple(x.shape) for name, x in ppl.get_param_store().items()}
    assert names == {"points.a": (), "points.s": (3,), "points.c": (6,), "points.d": (6, 3)}
    assert_close(trace.nodes["c"]["value"], points.c[rows])
    svi = SVI(model, points, Adam({"lr": 0.1}), Trace_ELBO())
    before = points.c.detach().clone()
    svi.step(6, 3)
    assert ((points.c != before).sum() == 3).item()


def test_svi_finds_a_posterior():
    data = torch.tensor([1.0, 2.0, 4.0])

    def normal_model():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 3):
            ppl.sample("y", dist.Normal(mu, 1.0), obs=data)

    class Guide(EasyGuide):
        def guide(self):
            group = self.group("mu")
            loc = ppl.param("loc", torch.zeros(group.event_shape))
            scale = ppl.param("scale", torch.ones(1), constraint=dist.constraints.positive)
            group.sample("z", dist.Normal(loc, scale).to_event(1))

    svi = SVI(
        normal_model,
        Guide(normal_model),
        Adam({"lr": 0.05}),
        Trace_ELBO(10, vectorize_particles=True),
    )
    for _ in range(300):
        svi.step()
    assert ppl.param("loc").item() == pytest.approx(data.sum().item() / 4, abs=0.05)
    assert ppl.param("scale").item() == pytest.approx(math.sqrt(1 / 4), abs=0.05)


def test_the_first_values_are_those_of_init():
    class Guide(EasyGuide):
        def init(self, site):
            return torch.full(site["fn"].shape(), 0.25)

        def guide(self):
            return self.map_estimate("x")

    assert Guide(lambda: ppl.sample("x", dist.Beta(1.0, 1.0)))().item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (lambda self: self.group("zz"), SiteError, "'zz'.*'a', 's'"),
        (lambda self: self.map_estimate("A"), MissingSiteError, "'A'.*did you mean 'a'"),
        (lambda self: self.plate("cols"), PlateError, "'cols'.*needs a size.*'rows'"),
        (lambda self: self.group("a").sample("z", normal((2,))), ShapeError, r"\(2,\).*\(1,\)"),
    ],
)
def test_what_is_not_in_the_model_is_refused(body, error, message):
    with pytest.raises(error, match=message):
        easy_guide(model)(body)()
