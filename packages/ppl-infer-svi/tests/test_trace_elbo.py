"""The basic ELBO estimator against closed forms.

The model: ``z ~ N(0, 1)``, ``x_i ~ N(z, 1)``; the guide: ``z ~ N(m, s)``. In closed form
``-ELBO = sum_i [log(2 pi) / 2 + ((x_i - m)^2 + s^2) / 2] + (m^2 + s^2 - 1) / 2 - log s``.
"""

import contextlib
import math

import pytest
import torch
from torch.distributions import constraints

import ppl
import ppl.distributions as dist
import ppl.infer
import ppl.poutine as poutine
from ppl.errors import PPLWarning, ShapeError
from ppl.infer import ELBO, Trace_ELBO

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7])
M, S = 0.3, 0.8


def model(data, subsample_size=None):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    with ppl.plate("data", len(data), subsample_size=subsample_size) as index:
        ppl.sample("x", dist.Normal(z, 1.0), obs=data[index])


class Detached(dist.Normal):
    """A normal without reparametrized samples."""

    has_rsample = False


def guide_of(normal):
    def guide(data, subsample_size=None):
        m = ppl.param("m", torch.tensor(M))
        s = ppl.param("s", torch.tensor(S), constraint=constraints.positive)
        ppl.sample("z", normal(m, s))

    return guide


def exact_loss(m, s):
    misfit = ((DATA - m) ** 2 + s**2 + math.log(2 * math.pi)).sum() / 2
    return misfit + (m**2 + s**2 - 1) / 2 - torch.log(s)


def exact_gradient():
    """With respect to ``m`` and to ``log s``, the unconstrained parameter."""
    m, log_s = torch.tensor(M, requires_grad=True), torch.tensor(math.log(S), requires_grad=True)
    return torch.stack(torch.autograd.grad(exact_loss(m, log_s.exp()), [m, log_s]))


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def gradients(elbo, guide, repeats, **options):
    """Independent gradient estimates, shape ``(repeat, 2)``."""
    rows = []
    for _ in range(repeats):
        elbo.loss_and_grads(model, guide, DATA, **options)
        leaves = [leaf for _, leaf in ppl.get_param_store().named_parameters()]
        rows.append(torch.stack([leaf.grad for leaf in leaves]))
        for leaf in leaves:
            leaf.grad = None
    return torch.stack(rows)


def z_scores(draws, truth):
    return (draws.mean(0) - truth) / (draws.std(0) / math.sqrt(len(draws)))


@pytest.mark.parametrize("vectorize", [False, True])
def test_the_loss_is_unbiased(vectorize):
    elbo = Trace_ELBO(num_particles=50, vectorize_particles=vectorize)
    losses = torch.tensor([elbo.loss(model, guide_of(dist.Normal), DATA) for _ in range(40)])
    assert z_scores(losses, exact_loss(torch.tensor(M), torch.tensor(S))).abs() < 4  # 6e-5


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize("normal", [dist.Normal, Detached], ids=["pathwise", "score function"])
def test_the_gradient_is_unbiased(normal, vectorize):
    elbo = Trace_ELBO(num_particles=20, vectorize_particles=vectorize)
    draws = gradients(elbo, guide_of(normal), repeats=150)
    assert z_scores(draws, exact_gradient()).abs().max() < 4  # about 1e-4


def test_the_gradient_is_unbiased_under_subsampling():
    elbo = Trace_ELBO(num_particles=20, vectorize_particles=False)
    draws = gradients(elbo, guide_of(dist.Normal), repeats=150, subsample_size=2)
    assert z_scores(draws, exact_gradient()).abs().max() < 4  # about 1e-4


def test_differentiable_loss_has_the_value_of_the_loss_and_the_gradient_of_the_estimator():
    elbo, guide = Trace_ELBO(num_particles=3), guide_of(dist.Normal)
    guide(DATA)
    leaves = [leaf for _, leaf in ppl.get_param_store().named_parameters()]
    ppl.set_rng_seed(1)
    loss = elbo.differentiable_loss(model, guide, DATA)
    expected = torch.autograd.grad(loss, leaves)
    ppl.set_rng_seed(1)
    assert elbo.loss(model, guide, DATA) == pytest.approx(loss.item(), rel=1e-5)
    ppl.set_rng_seed(1)
    assert elbo.loss_and_grads(model, guide, DATA) == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close([leaf.grad for leaf in leaves], list(expected))


def test_a_discrete_guide_inside_a_plate_has_the_exact_gradient_on_average():
    """Plate-local score functions, against enumeration of all four configurations."""
    weights = torch.tensor([0.5, -1.0])

    def model():
        with ppl.plate("data", 2):
            z = ppl.sample("z", dist.Bernoulli(0.5))
            ppl.sample("x", dist.Normal(weights * z, 1.0), obs=torch.ones(2))

    def guide():
        logits = ppl.param("logits", torch.tensor([0.2, -0.4]))
        with ppl.plate("data", 2):
            ppl.sample("z", dist.Bernoulli(logits=logits))

    logits = torch.tensor([0.2, -0.4], requires_grad=True)
    q = torch.stack([1 - logits.sigmoid(), logits.sigmoid()])  # (value, data)
    z = torch.tensor([[0.0], [1.0]])
    log_p = math.log(0.5) + dist.Normal(weights * z, 1.0).log_prob(torch.ones(2))
    (exact,) = torch.autograd.grad((q * (q.log() - log_p)).sum(), logits)

    elbo, draws = Trace_ELBO(num_particles=10, vectorize_particles=True, max_plate_nesting=1), []
    for _ in range(200):
        elbo.loss_and_grads(model, guide)
        leaf = dict(ppl.get_param_store().named_parameters())["logits"]
        draws.append(leaf.grad)
        leaf.grad = None
    assert z_scores(torch.stack(draws), exact).abs().max() < 4


def test_a_plate_local_score_function_ignores_the_other_elements():
    """Element 0 has a huge cost, whose noise the gradient of element 1 must not see."""

    def model():
        with ppl.plate("data", 2):
            z = ppl.sample("z", dist.Bernoulli(0.5))
            ppl.factor("cost", z * torch.tensor([1e6, 0.0]))

    def guide():
        with ppl.plate("data", 2):
            ppl.sample("z", dist.Bernoulli(logits=ppl.param("logits", torch.zeros(2))))

    Trace_ELBO(num_particles=5).loss_and_grads(model, guide)
    gradient = dict(ppl.get_param_store().named_parameters())["logits"].grad
    assert gradient[0].abs() > 1e3
    assert gradient[1].abs() < 10


def test_the_class_elbo_stands_for_an_estimator_of_the_registry():
    guide = guide_of(dist.Normal)
    ppl.set_rng_seed(3)
    one = ELBO(num_particles=2).loss(model, guide, DATA)
    ppl.set_rng_seed(3)
    assert one == Trace_ELBO(num_particles=2).loss(model, guide, DATA)


def test_defaults_are_the_documented_ones():
    elbo = Trace_ELBO()
    assert (elbo.num_particles, elbo.max_plate_nesting, elbo.vectorize_particles) == (
        1,
        math.inf,
        False,
    )
    assert elbo.retain_graph is None
    assert elbo.tail_adaptive_beta == -1.0


def test_sites_that_only_one_of_model_and_guide_has_are_reported_by_name():
    def other_guide(data):
        ppl.sample("w", dist.Normal(0.0, 1.0))

    with pytest.warns(PPLWarning) as caught:
        Trace_ELBO().loss(model, other_guide, DATA)
    messages = " ".join(str(w.message) for w in caught)
    assert "'w' of the guide" in messages
    assert "'z' of the model is not in the guide" in messages


def test_event_dimensions_that_differ_are_refused_by_name():
    def vector_model():
        ppl.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    def vector_guide():
        with ppl.plate("p", 2):
            ppl.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(ShapeError, match="'z' has event_dim 1 in the model and 0 in the guide"):
        Trace_ELBO().loss(vector_model, vector_guide)


def test_a_mask_leaves_sites_out_of_the_loss():
    masked = poutine.mask(model, mask=False)
    assert Trace_ELBO().loss(masked, poutine.mask(guide_of(dist.Normal), mask=False), DATA) == 0.0


def test_a_model_without_sites_has_loss_zero():
    assert Trace_ELBO().loss_and_grads(lambda: None, lambda: None) == 0.0


def program(shape=(), plate=None, event=0, mask=True, **options):
    """A program of one site."""

    def run():
        fn = dist.Normal(torch.zeros(shape), 1.0).to_event(event)
        with ppl.plate("d", plate) if plate else contextlib.nullcontext():
            ppl.sample("x", fn, **options)

    return poutine.mask(run, mask=mask)


def is_observed(model):
    return bool(poutine.trace(model).get_trace().observation_nodes)


class TestShapes:
    """Law: shapes are right if model, guide and plates agree; to broadcast is not enough."""

    @pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 3)])
    @pytest.mark.parametrize("vectorize", [False, True])
    def test_a_guide_of_another_shape_is_refused(self, shape, vectorize):
        elbo = Trace_ELBO(num_particles=2, vectorize_particles=vectorize)
        with pytest.raises(ShapeError, match="'x'"):
            elbo.loss(program((3,), plate=3), program(shape))

    @pytest.mark.parametrize("vectorize", [False, True])
    @pytest.mark.parametrize(
        "model",
        [
            program((10,)),  # a forgotten plate, or to_event
            program((), obs=torch.zeros(10)),
            program((), plate=10, obs=torch.zeros(10, 1)),
            program((10, 1), plate=10, obs=torch.zeros(10)),
        ],
    )
    def test_a_dimension_of_no_plate_is_refused(self, model, vectorize):
        elbo = Trace_ELBO(num_particles=2, vectorize_particles=vectorize)
        guide = (lambda: None) if is_observed(model) else model
        with pytest.raises(ShapeError, match="site 'x'"):
            elbo.loss(model, guide)

    def test_a_mask_that_widens_a_site_is_refused(self):
        masked = program((), mask=torch.ones(10).bool(), obs=torch.zeros(()))
        with pytest.raises(ShapeError, match="site 'x'"):
            Trace_ELBO().loss(masked, lambda: None)

    @pytest.mark.parametrize("options", [{}, {"num_particles": 3, "vectorize_particles": True}])
    @pytest.mark.parametrize("nesting", [math.inf, 1, 2])
    def test_what_is_declared_is_accepted(self, options, nesting, recwarn):
        elbo = Trace_ELBO(max_plate_nesting=nesting, **options)
        for good in (program((3,), plate=3), program((3,), event=1), program((), plate=4)):
            elbo.loss(good, good)
        assert not recwarn

    def test_no_check_without_validation(self):
        with ppl.validation_enabled(False):
            Trace_ELBO().loss(program((10,)), program((10,)))

    def test_a_loss_is_for_many_models(self):
        elbo = Trace_ELBO(num_particles=2, vectorize_particles=True)
        for nesting in (0, 1, 2):
            shape = (3,) * nesting

            def nested(shape=shape):
                with contextlib.ExitStack() as stack:
                    for i, size in enumerate(shape):
                        stack.enter_context(ppl.plate(f"p{i}", size))
                    ppl.sample("x", dist.Normal(torch.zeros(shape), 1.0))

            elbo.loss(nested, nested)


def test_a_factor_of_a_guide_must_say_how_it_depends_on_samples():
    def guide_with(**options):
        def guide():
            ppl.sample("x", dist.Normal(0.0, 1.0))
            ppl.factor("f", torch.tensor(-1.0), **options)

        return guide

    with pytest.raises(ValueError, match="'f'.*has_rsample"):
        Trace_ELBO().loss(program(), guide_with())
    for answer in (True, False):
        Trace_ELBO().loss(program(), guide_with(has_rsample=answer))


@pytest.mark.parametrize("program_that_draws", ["guide", "model"])
def test_a_site_marked_for_enumeration_is_reported_where_it_is_drawn(program_that_draws):
    def coin():
        ppl.sample("k", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    guide = coin if program_that_draws == "guide" else lambda: None
    match = f"'k'.* of the {program_that_draws} .*TraceEnum_ELBO"
    with pytest.warns(PPLWarning, match=match):
        Trace_ELBO().loss(coin, guide)


def test_an_estimator_of_a_user_averages_over_the_pairs_of_traces():
    """As it is written for Pyro, with `_get_traces` and a `_get_trace` of its own."""

    class LogRatio(ELBO):
        def _get_trace(self, model, guide, args, kwargs):
            guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
            model_trace = poutine.trace(poutine.replay(model, trace=guide_trace))
            return model_trace.get_trace(*args, **kwargs), guide_trace

        def loss(self, model, guide, *args, **kwargs):
            pairs = self._get_traces(model, guide, args, kwargs)
            return -sum(m.log_prob_sum() - g.log_prob_sum() for m, g in pairs) / self.num_particles

    losses = []
    for estimator in (LogRatio, Trace_ELBO):
        ppl.set_rng_seed(0)
        loss = estimator(num_particles=3).loss(model, guide_of(dist.Normal), DATA)
        losses.append(torch.as_tensor(loss).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("strict", [True, False])
def test_marks_for_enumeration_are_reported(strict, recwarn):
    def coin():
        ppl.sample("k", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    Trace_ELBO(strict_enumeration_warning=strict).loss(coin, coin)
    assert [str(w.message) for w in recwarn if "TraceEnum_ELBO" in str(w.message)] == [
        str(w.message) for w in recwarn
    ]
    assert len(recwarn) == strict


@pytest.mark.parametrize("cls", [ELBO, Trace_ELBO])
def test_an_unknown_option_gets_the_nearest(cls):
    with pytest.raises(TypeError, match="'num_particle'; did you mean 'num_particles'"):
        cls(num_particle=3)
    with pytest.raises(ValueError, match="num_particles"):
        cls(num_particles=0)


def test_a_loss_is_a_module_that_torch_trains():
    loss = Trace_ELBO(num_particles=4)(model, guide_of(dist.Normal))
    assert list(loss.parameters()) == []
    loss(DATA)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    assert [name for name, _ in loss.named_parameters()] == ["m", "s"]
    for _ in range(300):
        optimizer.zero_grad()
        loss(DATA).backward()
        optimizer.step()
    assert ppl.param("m").item() == pytest.approx(DATA.sum().item() / 5, abs=0.1)


def test_a_module_of_modules_has_their_parameters_and_state():
    class Guide(ppl.nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.loc = ppl.nn.PyroParam(torch.tensor(0.5))

        def forward(self):
            return ppl.sample("x", dist.Normal(self.loc, 1.0))

    loss = Trace_ELBO()(program(), Guide())
    assert len(list(loss.parameters())) == 1
    loss().backward()
    assert len(list(loss.parameters())) == 1
    state = loss.state_dict()
    assert not any(Trace_ELBO()(program(), Guide()).load_state_dict(state))


def test_an_estimator_shows_what_is_not_default():
    assert repr(Trace_ELBO()) == "Trace_ELBO()"
    assert repr(ELBO(num_particles=3)) == "ELBO(num_particles=3)"
