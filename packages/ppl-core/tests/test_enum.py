"""Parallel enumeration: every value of a site at once, in dimensions that do not collide."""

import contextvars
import itertools

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError
from ppl.poutine.enum_messenger import enumerate_site
from ppl.primitives import deterministic, plate, sample
from ppl.validation import validation_enabled

from .distribution.families import Bernoulli, Categorical, MultivariateNormal, Normal

PARALLEL = {"enumerate": "parallel"}
TABLE = torch.tensor([0.3, -0.2, 0.9, 0.4, -0.7, 0.1]).reshape(2, 3)


def coin(name, *parents, **hints):
    """A latent coin whose probability depends on all of its parents in another way each."""
    logits = sum(
        ((i + 1.3) * (parent - 0.4) for i, parent in enumerate(parents)), torch.tensor(0.2)
    )
    return sample(name, Bernoulli(logits=logits), infer={**PARALLEL, **hints})


def observe(name, *parents):
    loc = sum(((i + 0.7) * parent for i, parent in enumerate(parents)), torch.tensor(0.0))
    sample(name, Normal(loc, 1.0), obs=torch.tensor(0.5))


def independent():
    observe("y", coin("a"), coin("b"), coin("c"))


def network():
    a = coin("a")
    b, c = coin("b", a), coin("c", a)
    observe("y", coin("d", b, c), a)


def chain(history=1):
    past = [coin("global")]
    for t in poutine.markov(range(5), history=history):
        past.append(coin(f"x{t}", past[0], *past[1:][-history:]))
        observe(f"y{t}", past[-1], past[0])
    coin("after", past[0])


def second_order_chain():
    chain(history=2)


def independent_steps():
    with_shared = coin("shared")
    for t in poutine.markov(range(4), history=0):
        observe(f"y{t}", coin(f"x{t}", with_shared))


def tree(keep):
    seen = {-1: (), 0: (), 1: (), 2: ()}  # with keep, a node sees the whole of its level

    @poutine.markov(keep=keep)
    def grow(level, number, parent):
        parents = (*parent, *(seen[level - 1] + seen[level] if keep else ()))
        node = coin(f"x{level}{number}", *parents)
        seen[level] = (*seen[level], node)
        if level < 2:
            grow(level + 1, 2 * number, (node,))
            grow(level + 1, 2 * number + 1, (node,))

    grow(0, 0, ())


def independent_branches():
    tree(keep=False)


def branches_that_see_each_other():
    tree(keep=True)


def nested_chains():
    a = torch.tensor(0.0)
    for i in poutine.markov(range(2)):
        a, b = coin(f"a{i}", a), torch.tensor(0.0)
        for j in poutine.markov(range(3)):
            b = coin(f"b{i}{j}", a, b)


def kept_context_after_a_global_site():
    chain = poutine.markov(keep=True)
    with chain:
        inside = coin("inside")
    outside = coin("outside")
    with chain:
        coin("again", inside, outside)


def plated():
    a = coin("a")
    with plate("rows", 3, dim=-2):
        b = coin("b", a)
        with plate("columns", 4, dim=-1):
            c = coin("c", a, b)
            sample("y", Normal(a + 2 * b + 3 * c, 1.0), obs=torch.arange(12.0).reshape(3, 4))
    with plate("columns again", 4, dim=-1):
        coin("d", a, expand=True)


def categories():
    k = sample("k", Categorical(logits=TABLE.sum(0)), infer=PARALLEL)
    weights = torch.linspace(-1, 1, 8).reshape(2, 4)
    with plate("rows", 2):
        j = sample("j", Categorical(logits=(k[..., None] + 1) * weights), infer=PARALLEL)
        sample("x", Normal(j.float() + k, 1.0), obs=torch.tensor([0.1, 0.2]))
        deterministic("sum", j + k, event_dim=0)


def vector_events():
    a = coin("a")
    loc = torch.stack([a, 2 * a], -1)
    sample("y", MultivariateNormal(loc, torch.eye(2)), obs=torch.tensor([0.3, 0.4]))


MODELS = [
    independent,
    network,
    chain,
    second_order_chain,
    independent_steps,
    independent_branches,
    branches_that_see_each_other,
    nested_chains,
    kept_context_after_a_global_site,
    plated,
    categories,
    vector_events,
]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def enumerated(program, first_available_dim=-3):
    trace = poutine.trace(
        poutine.enum(program, first_available_dim=first_available_dim)
    ).get_trace()
    trace.compute_log_prob()
    trace.pack_tensors()
    return trace


def variables(trace):
    """The symbol of each enumerated site, and its number of values."""
    found = {}
    for name, site in trace.nodes.items():
        dim = site.get("infer", {}).get("_enumerate_dim")
        if dim is not None:
            symbol = site["infer"]["_dim_to_symbol"][dim]
            found[name] = symbol, site["value"].shape[dim - len(site["fn"].event_shape)]
    return found


def density_at(trace, chosen):
    """The log density of a trace where each symbol has the chosen value."""
    total = torch.tensor(0.0)
    for site in trace.nodes.values():
        if site["type"] == "sample":
            packed = site["packed"]["log_prob"]
            index = tuple(chosen.get(symbol, slice(None)) for symbol in packed._pyro_dims)
            total = total + packed[index].sum()
    return total


def assignments(trace):
    """Iterate over all combinations of values, by site name and by symbol."""
    found = variables(trace)
    for values in itertools.product(*(range(size) for _, size in found.values())):
        by_symbol = {symbol: v for (symbol, _), v in zip(found.values(), values, strict=True)}
        yield dict(zip(found, values, strict=True)), by_symbol


def conditioned(program, values):
    """The program where each site has one value, in all elements of its plates."""

    def config(site):
        return {"enumerate": None}

    class Fixed(poutine.handlers.Messenger):
        def _pyro_sample(self, msg):
            if msg["name"] in values:
                value = torch.tensor(values[msg["name"]], dtype=msg["fn"].sample().dtype)
                msg["value"] = value.expand(msg["fn"].shape())
                msg["is_observed"] = True

    return Fixed()(poutine.infer_config(program, config_fn=config))


@every_model
def test_the_enumerated_density_is_the_table_of_the_conditioned_densities(model):
    trace = enumerated(model)
    every = list(assignments(trace))
    for by_name, by_symbol in every[:: max(1, len(every) // 40)]:
        plain = poutine.trace(conditioned(model, by_name)).get_trace()
        assert_close(density_at(trace, by_symbol), plain.log_prob_sum())


@every_model
def test_no_two_variables_in_the_scope_of_a_site_share_a_dim_or_a_number(model):
    for site in enumerated(model).nodes.values():
        numbers = site.get("infer", {}).get("_dim_to_id", {})
        assert len(set(numbers.values())) == len(numbers)
        assert all(dim <= -3 for dim in numbers)


def dims_of(program, first_available_dim=-1):
    trace = poutine.trace(
        poutine.enum(program, first_available_dim=first_available_dim)
    ).get_trace()
    found = {
        name: site.get("infer", {}).get("_enumerate_dim") for name, site in trace.nodes.items()
    }
    return {name: dim for name, dim in found.items() if dim is not None}


@pytest.mark.parametrize("history", [0, 1, 2, 3])
def test_a_chain_uses_as_many_dims_as_it_has_visible_steps(history):
    def program():
        for t in poutine.markov(range(12), history=history):
            coin(f"x{t}")

    assert dims_of(program) == {f"x{t}": -1 - t % (history + 1) for t in range(12)}


def test_a_long_chain_uses_two_dims():
    def program():
        for t in poutine.markov(range(300)):
            coin(f"x{t}")

    assert set(dims_of(program).values()) == {-1, -2}


def test_a_value_keeps_the_variables_that_it_was_computed_from_in_scope():
    def program():
        x = torch.tensor(0.0)
        for t in poutine.markov(range(3)):
            x = sample(f"x{t}", Normal(x + coin(f"z{t}"), 1.0))

    assert dims_of(program) == {"z0": -1, "z1": -2, "z2": -3}


def test_a_dependence_beyond_the_scope_of_a_chain_is_an_error():
    def program():
        for t in poutine.markov(range(3)):
            x = coin(f"x{t}")
        observe("y", x)

    with validation_enabled(), pytest.raises(ShapeError, match="site 'y'.*longer history"):
        poutine.enum(program, first_available_dim=-1)()


def test_values_have_their_plates_dims_only_if_expanded():
    def program(**hints):
        with plate("data", 4):
            return coin("x", **hints).shape

    assert poutine.enum(program, first_available_dim=-3)() == (2, 1, 1)
    assert poutine.enum(program, first_available_dim=-3)(expand=True) == (2, 1, 4)


@pytest.mark.parametrize("dim", [-1, -2, -5])
def test_the_leftmost_enumeration_dim_is_the_first_available_one(dim):
    with poutine.enum(first_available_dim=dim):
        assert coin("x").shape == (2,) + (1,) * (-1 - dim)


@pytest.mark.parametrize("hint", [{}, {"enumerate": None}, {"enumerate": "sequential"}])
def test_sites_that_are_not_marked_parallel_are_drawn(hint):
    with poutine.enum(first_available_dim=-1):
        assert sample("x", Bernoulli(0.5), infer=hint).shape == ()


def test_observed_and_replayed_sites_are_left_alone():
    with poutine.enum(first_available_dim=-1), poutine.substitute(data={"x": torch.tensor(1.0)}):
        assert coin("x").shape == ()
        assert sample("y", Bernoulli(0.5), obs=torch.tensor(1.0), infer=PARALLEL).shape == ()


# a model after its guide


def guide():
    for t in poutine.markov(range(3)):
        coin(f"z{t}")


def model_of_guide():
    x = z = torch.tensor(0.0)
    for t in poutine.markov(range(3)):
        x = coin(f"x{t}", x)
        z = coin(f"z{t}", z, x)
        observe(f"y{t}", z, x)


@pytest.mark.parametrize("outside", [True, False], ids=["replay outside", "replay inside"])
def test_a_model_after_its_guide_agrees_with_it_on_the_variables(outside):
    guide_trace = enumerated(guide, first_available_dim=-1)
    replay = poutine.replay(trace=guide_trace)
    program = (
        replay(poutine.enum(model_of_guide)) if outside else poutine.enum(replay(model_of_guide))
    )
    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    trace.pack_tensors(guide_trace.plate_to_symbol)
    assert {name: variables(trace)[name] for name in ("z0", "z1", "z2")} == variables(guide_trace)
    assert all(dim < -2 for name, dim in dims_of_trace(trace).items() if name.startswith("x"))
    for by_name, by_symbol in assignments(trace):
        plain = poutine.trace(conditioned(model_of_guide, by_name)).get_trace()
        assert_close(density_at(trace, by_symbol), plain.log_prob_sum())


def dims_of_trace(trace):
    return {
        name: site["infer"]["_enumerate_dim"]
        for name, site in trace.nodes.items()
        if "_enumerate_dim" in site.get("infer", {})
    }


def test_a_nonlocal_exit_gives_the_dims_back():
    def program():
        coin("x")
        sample("exit", Normal(0.0, 1.0))

    with poutine.enum(first_available_dim=-1):
        with pytest.raises(poutine.NonlocalExit) as left:
            poutine.escape(program, escape_fn=lambda site: site["name"] == "exit")()
        left.value.reset_stack()
        assert coin("y").shape == (2,)


def test_the_enumerated_density_can_be_recorded_and_differentiated():
    def density(p):
        def program():
            x = torch.tensor(0)
            for t in poutine.markov(range(3)):
                probs = torch.stack([p, 1 - p]).softmax(-1)[x.long()]
                x = sample(f"x{t}", Bernoulli(probs), infer=PARALLEL)

        trace = poutine.trace(poutine.enum(program, first_available_dim=-1)).get_trace()
        trace.compute_log_prob()
        trace.pack_tensors()
        tables = [site["packed"]["log_prob"] for site in trace.nodes.values() if "packed" in site]
        return torch.einsum("a,ab,bc->", *(table.exp() for table in tables))

    p = torch.tensor([0.2])
    with validation_enabled(False):
        recorded = make_fx(torch.func.grad_and_value(lambda p: density(p[0])))(p)
    assert_close(recorded(p), torch.func.grad_and_value(lambda p: density(p[0]))(p))
    assert_close(recorded(p)[1], torch.tensor(1.0))


# local Monte Carlo


def parent_and_child(**hints):
    hints = {**PARALLEL, "num_samples": 2000, **hints}
    a = sample("a", Normal(0.0, 1.0), infer=hints)
    with plate("data", 3):
        return a, sample("b", Normal(a, 0.1), infer=hints)


def draws(**hints):
    return poutine.enum(parent_and_child, first_available_dim=-2)(**hints)


def test_local_samples_lie_along_a_dim_of_their_own():
    a, b = draws()
    assert (a.shape, b.shape) == ((2000, 1), (2000, 1, 3))


def test_expanded_samples_are_drawn_for_every_value_of_the_parent():
    a, b = draws(num_samples=50, expand=True)
    assert (a.shape, b.shape) == ((50, 1), (50, 50, 3))
    assert (b - a).std() < 0.11


def test_diagonal_samples_belong_to_one_parent_each():
    a, b = draws(tmc="diagonal")
    assert (b[:, 0] - a).abs().max() < 0.1 * 5.5  # 6000 draws: a false alarm has chance 2e-4


def test_mixture_samples_have_random_parents():
    a, b = draws(tmc="mixture")
    assert b[:, 0].std() > 0.9
    assert abs(torch.corrcoef(torch.stack([a[:, 0], b[:, 0, 0]]))[0, 1]) < 4 / 2000**0.5


def test_local_samples_of_a_child_with_fewer_values_than_its_parent():
    def program():
        a = sample("a", Normal(0.0, 1.0), infer={**PARALLEL, "num_samples": 5})
        return a, sample("b", Normal(a, 1e-6), infer={**PARALLEL, "num_samples": 3})

    a, b = poutine.enum(program, first_available_dim=-1)()
    assert_close(b[:, 0], a[:3], atol=1e-4, rtol=0)


def test_reparametrized_local_samples_have_gradients():
    scale = torch.tensor(2.0, requires_grad=True)
    infer = {**PARALLEL, "num_samples": 4}
    with poutine.enum(first_available_dim=-1):
        sample("x", Normal(0.0, scale), infer=infer).sum().backward()
    assert scale.grad != 0


# errors


def test_a_site_without_finite_support_cannot_be_enumerated():
    with pytest.raises(SiteError, match="site 'x'.*not finite.*num_samples"):
        enumerated(lambda: sample("x", Normal(0.0, 1.0), infer=PARALLEL))


def test_enumerate_site_gives_the_support_along_a_new_leftmost_dim():
    fn = Categorical(torch.ones(2, 3))
    msg = {"name": "x", "fn": fn, "infer": {}, "cond_indep_stack": ()}
    assert enumerate_site(msg).tolist() == [[0], [1], [2]]
    assert enumerate_site({**msg, "infer": {"expand": True}}).shape == (3, 2)


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"enumerate": "paralel"}, "must be 'parallel', 'sequential' or None, got 'paralel'"),
        ({"num_samples": 2, "tmc": "diag"}, "must be 'diagonal' or 'mixture', got 'diag'"),
    ],
)
def test_unknown_hints_are_refused(hints, message):
    with pytest.raises(SiteError, match=f"site 'x'.*{message}"):
        enumerated(lambda: coin("x", **hints))


def test_the_first_available_dim_is_negative():
    with pytest.raises(SiteError, match="must be negative, got 0"):
        poutine.enum(network, first_available_dim=0)


def test_the_first_enumeration_needs_a_dim():
    with pytest.raises(SiteError, match="needs a dimension to begin with"):
        contextvars.Context().run(poutine.enum(network))


def test_a_plate_must_stay_right_of_the_enumeration_dims():
    def program():
        with plate("rows", 3, dim=-2):
            coin("x")

    with pytest.raises(ShapeError, match="plate 'rows' has dim -2"):
        poutine.enum(program, first_available_dim=-2)()


def test_a_batch_dim_without_a_plate_is_refused():
    def program():
        sample("x", Bernoulli(torch.full((3,), 0.5)), infer=PARALLEL)

    with pytest.raises(ShapeError, match=r"site 'x'.*batch_shape \(3,\).*open a plate"):
        poutine.enum(program, first_available_dim=-1)()
