"""The structured guide: which sites depend on which, exact posteriors, and densities."""

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import biject_to
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import ArgumentError, MissingSiteError, ShapeError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import AutoStructured
from ppl.infer.autoguide.dependencies import ancestors, factors
from ppl.infer.reparam import StructuredReparam
from ppl.optim import Adam


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(size=4, subsample_size=None):
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    b = ppl.sample("b", dist.Dirichlet(torch.ones(3)))
    with ppl.plate("rows", size, subsample_size=subsample_size):
        c = ppl.sample("c", dist.LogNormal(a, 1.0))
        ppl.sample("y", dist.Normal(c, 1.0), obs=torch.tensor(0.5))
    ppl.sample("w", dist.Normal(b[..., 0], 1.0), obs=torch.tensor(0.5))


def train(guide, *args, steps=3):
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(steps):
        svi.step(*args)


# the structure


def chain():
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    b = ppl.sample("b", dist.Normal(a, 1.0))
    c = ppl.sample("c", dist.Normal(b, 1.0))
    ppl.sample("y", dist.Normal(c, 1.0), obs=torch.tensor(0.0))


def collider():
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    b = ppl.sample("b", dist.Normal(0.0, 1.0))
    c = ppl.sample("c", dist.Normal(0.0, 1.0))
    ppl.factor("y", -((a + b) ** 2))
    ppl.deterministic("sum", a + c)


def through_a_later_site():
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    b = ppl.sample("b", dist.Normal(0.0, 1.0))
    ppl.sample("c", dist.Normal(a + b, 1.0))


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (chain, {"a": [], "b": ["a"], "c": ["b"]}),
        (collider, {"a": [], "b": ["a"], "c": []}),
        # a and b are independent in the prior, but the elimination of c claims nothing
        (through_a_later_site, {"a": [], "b": ["a"], "c": ["a", "b"]}),
    ],
)
def test_sites_depend_on_those_that_the_densities_join_them_with(program, expected):
    names = list(expected)
    assert ancestors(factors(program, names), names) == expected


def test_dependencies_that_cannot_be_followed_are_all_there():
    def program():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        if type(a) is not torch.Tensor:
            raise RuntimeError("no such tensors")
        ppl.sample("b", dist.Normal(0.0, 1.0))

    with pytest.warns(UserWarning, match="no such tensors"):
        found = factors(program, ["a", "b"])
    assert ancestors(found, ["a", "b"]) == {"a": [], "b": ["a"]}


def test_linear_dependencies_are_those_of_the_model():
    guide = AutoStructured(model)
    guide()
    assert guide.dependencies == {"c": {"a": "linear"}}
    assert guide.deps.c.a.weight.shape == (4, 1)


# exact posteriors

LOC = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
TRIL = torch.tensor([[1.0, 0.0, 0.0], [-1.5, 0.5, 0.0], [0.3, 0.2, 2.0]], dtype=torch.float64)


def correlated():
    zero = torch.zeros(3, dtype=torch.float64)
    head = ppl.sample("head", dist.Normal(zero[:1], 1.0).mask(False).to_event(1))
    tail = ppl.sample("tail", dist.Normal(zero[:2], 1.0).mask(False).to_event(1))
    target = dist.MultivariateNormal(LOC, scale_tril=TRIL)
    ppl.factor("target", target.log_prob(torch.cat([head, tail])))


@pytest.mark.parametrize("kind", ["normal", "mvn"])
def test_a_structured_normal_has_the_density_of_the_joint_one(kind):
    guide = AutoStructured(correlated, conditionals=kind)
    guide()
    with torch.no_grad():
        guide.locs.head = LOC[:1]
        weight = TRIL[1:, :1] / TRIL[0, 0]
        guide.locs.tail = LOC[1:] - (weight @ LOC[:1])
        guide.deps.tail.head.weight.copy_(weight)
        guide.scales.head = TRIL[:1, 0]
        inner = TRIL[1:, 1:] if kind == "mvn" else TRIL[1:, 1:].diagonal().diag()
        guide.scales.tail = inner.diagonal()
        if kind == "mvn":
            guide.scale_trils.tail = inner / inner.diagonal().unsqueeze(-1)
    tril = TRIL.clone()
    tril[1:, 1:] = inner
    joint = dist.MultivariateNormal(LOC, scale_tril=tril)
    trace = poutine.trace(guide).get_trace()
    x = torch.cat([trace.nodes["head"]["value"], trace.nodes["tail"]["value"]])
    assert_close(trace.log_prob_sum(), joint.log_prob(x))
    assert_close(torch.cat(list(guide.median().values())), LOC)


def test_svi_learns_the_dependence():
    def program():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.sample("b", dist.Normal(3.0 * a, 0.1))

    guide = AutoStructured(program, conditionals="normal")
    svi = SVI(program, guide, Adam({"lr": 0.05}), Trace_ELBO(10, vectorize_particles=True))
    for _ in range(400):
        svi.step()
    assert_close(guide.deps.b.a.weight.item(), 3.0, atol=0.1, rtol=0)
    assert_close(guide.scales.b.item(), 0.1, atol=0.02, rtol=0)


# densities

KINDS = [
    {},
    {"conditionals": "normal"},
    {"conditionals": "delta"},
    {"conditionals": {"a": "normal", "b": "mvn", "c": "delta"}},
    {"dependencies": {}},
    {
        "dependencies": {
            "b": {"a": "linear"},
            "c": {"a": lambda x: x**3, "b": torch.nn.Linear(2, 4)},
        }
    },
]


@pytest.mark.parametrize("options", KINDS)
def test_the_density_is_that_of_the_change_of_variables(options):
    guide = AutoStructured(model, init_scale=0.7, **options)
    train(guide)
    trace = poutine.trace(guide).get_trace()
    noise = {n: s["value"] for n, s in trace.iter_stochastic_nodes() if n.endswith("_aux")}
    base = sum(trace.nodes[name]["fn"].log_prob(x) for name, x in noise.items())
    latent = [n for n in ("a", "b", "c") if f"{n}_aux" in noise]

    def free_of(packed):
        parts = packed.split([x.numel() for x in noise.values()])
        at = poutine.condition(guide, dict(zip(noise, parts, strict=True)))
        values = poutine.trace(at).get_trace()
        transforms = {"a": None, "b": dist.transforms.StickBreakingTransform(), "c": None}
        free = [
            transforms[n].inv(values.nodes[n]["value"])
            if transforms[n]
            else values.nodes[n]["value"]
            for n in latent
        ]
        return torch.cat([x.reshape(-1) for x in free])

    expected = torch.zeros(())
    if noise:
        packed = torch.cat(list(noise.values()))
        jacobian = torch.autograd.functional.jacobian(free_of, packed)
        expected = base - jacobian.det().abs().log()
        if "b" in latent:
            simplex = biject_to(dist.constraints.simplex)
            b = trace.nodes["b"]["value"]
            expected = expected - simplex.log_abs_det_jacobian(simplex.inv(b), b)
    rest = sum(
        trace.nodes[n]["log_prob_sum"]
        for n in ("a", "b", "c")
        if n not in latent and trace.compute_log_prob() is None
    )
    assert_close(trace.log_prob_sum() - rest, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("options", KINDS)
def test_draws_lie_in_the_support_and_particles_in_a_plate(options):
    guide = AutoStructured(model, **options)
    values = guide()
    assert values["c"].shape == (4,)
    assert guide.median()["b"].sum().item() == pytest.approx(1.0)
    draws = Predictive(guide, num_samples=5, parallel=True)()
    assert draws["c"].shape == (5, 4)
    assert (draws["c"] > 0).all()
    assert_close(draws["b"].sum(-1), torch.ones_like(draws["b"].sum(-1)))


def test_vectorized_particles_have_the_loss_of_single_ones():
    guide = AutoStructured(model)
    train(guide)
    num = 2000
    together = torch.tensor(Trace_ELBO(num, vectorize_particles=True).loss(model, guide))
    singles = torch.tensor([Trace_ELBO().loss(model, guide) for _ in range(200)])
    assert (together - singles.mean()).abs() < 4.5 * singles.std() * math.sqrt(1 / 200 + 1 / num)


def test_subsamples_have_unbiased_densities():
    guide = AutoStructured(model, init_scale=0.7)
    guide(4, 2)
    assert guide.scale_trils.c.shape == (4, 4)
    noise = {n: torch.randn(k) for n, k in {"a_aux": 1, "b_aux": 2, "c_aux": 4}.items()}

    def density(indices):
        guide.create_plates = lambda *_: ppl.plate("rows", 4, subsample=indices, dim=-1)
        trace = poutine.trace(poutine.condition(guide, noise)).get_trace(4, 2)
        return trace.log_prob_sum(lambda name, site: name == "c")

    pairs = torch.combinations(torch.arange(4))
    mean = torch.stack([density(pair) for pair in pairs]).mean()
    assert_close(mean, density(torch.arange(4)))


def test_the_reparameterizer_has_the_joint_density():
    guide = AutoStructured(model)
    train(guide)
    rule = StructuredReparam(guide)
    trace = poutine.trace(rule.reparam(model)).get_trace()
    noise = {n: s["value"] for n, s in trace.iter_stochastic_nodes() if n.endswith("_aux")}
    values = rule.transform_samples(noise)
    plain = poutine.trace(poutine.condition(model, values)).get_trace().log_prob_sum()
    deltas = poutine.condition(guide.get_deltas, noise)()
    log_det = sum(delta.log_density.sum() for delta in deltas.values())
    base = sum(trace.nodes[n]["fn"].log_prob(x) for n, x in noise.items())
    assert_close(trace.log_prob_sum(), plain + base - log_det, atol=1e-4, rtol=1e-4)
    assert guide.get_deltas(["a"]).keys() == {"a"}


def test_a_conditional_can_be_a_function():
    def heavy():
        scale = ppl.param("scale", torch.ones(()))
        return ppl.sample(
            "a_aux",
            dist.StudentT(3.0, 0.0, scale).expand([1]).to_event(1),
            infer={"is_auxiliary": True},
        )

    guide = AutoStructured(model, conditionals={"a": heavy, "b": "mvn", "c": "normal"})
    trace = poutine.trace(guide).get_trace()
    assert_close(trace.nodes["a"]["value"], trace.nodes["a_aux"]["value"][0])
    assert guide.median()["a"] == 0.0


# state


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_copy_and_a_loaded_state_say_the_same(duplicate):
    guide = AutoStructured(model)
    train(guide)
    expected = {name: value.clone() for name, value in guide.median().items()}
    state = guide.state_dict()
    twin = duplicate(guide)
    ppl.clear_param_store()
    fresh = AutoStructured(model)
    fresh.load_state_dict(state)
    fresh()
    for name, value in expected.items():
        assert_close(twin.median()[name], value)
        assert_close(fresh.median()[name], value)


# refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"conditionals": "gauss"}, ArgumentError, "'delta', 'normal', 'mvn'.*got 'gauss'"),
        ({"conditionals": {"a": 3}}, ArgumentError, "got 3"),
        ({"conditionals": {"a": "normal"}}, MissingSiteError, "'b', 'c'.* have no conditional"),
        ({"dependencies": "quadratic"}, ArgumentError, "got 'quadratic'"),
        ({"dependencies": {"b": {"a": 3}}}, ArgumentError, "got 3"),
        ({"dependencies": {"a": {"c": "linear"}}}, ArgumentError, "'a' is to depend on .*'c'"),
        ({"dependencies": {"C": {"a": "linear"}}}, MissingSiteError, "'C'.*did you mean 'c'"),
        ({"dependencies": {"c": {"A": "linear"}}}, MissingSiteError, "'A'.*did you mean 'a'"),
        ({"dependencies": {"c": {"a": lambda x: torch.ones(3)}}}, ShapeError, "'c'.*on 'a'.*of 4"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        AutoStructured(model, **options)()


def test_a_conditional_of_another_size_is_refused():
    kinds = {"a": "mvn", "b": lambda: torch.ones(3), "c": "mvn"}
    with pytest.raises(ShapeError, match="'b'.*conditional.*of 2 components"):
        AutoStructured(model, conditionals=kinds, dependencies={})()
