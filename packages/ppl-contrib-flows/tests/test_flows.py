"""Laws of every learnable transform."""

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import AffineTransform, ComposeTransform
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import ppl
import ppl.contrib.flows
import ppl.distributions as dist
import ppl.distributions.transforms as transforms
from ppl.contrib.flows import (
    AffineAutoregressive,
    AutoRegressiveNN,
    BatchNorm,
    ConditionalAutoRegressiveNN,
    ConditionalLazyFlow,
    LazyFlow,
    Planar,
    SplineCoupling,
    TransformModule,
    affine_autoregressive,
    affine_coupling,
    planar,
    spline_coupling,
)
from ppl.errors import ArgumentError, IntractableError, ShapeError

DIM = 4
CONTEXT = torch.tensor([0.3, -1.2])


def factory(name, *args, **kwargs):
    """Makes a flow of vectors; one that depends on a context is given one."""

    def make(dim):
        if not name.startswith("conditional"):
            return getattr(transforms, name)(dim, *args, **kwargs)
        flow = getattr(transforms, name)(dim, len(CONTEXT), *args, **kwargs)
        return flow.condition(CONTEXT)

    return make


def steep_planar(dim):
    """A planar flow at the edge of what is invertible, where ``u`` must be moved far."""
    flow = planar(dim)
    with torch.no_grad():
        flow.w.mul_(8)
        flow.u.copy_(-3 * flow.w)
    return flow


def strong(name, scale, *args, **kwargs):
    """A flow with large parameters, far from where they start."""

    def make(dim):
        flow = getattr(transforms, name)(dim, *args, **kwargs)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.mul_(scale)
        return flow

    return make


def used_batchnorm(dim):
    """A layer that has seen batches, in use."""
    flow = BatchNorm(dim)
    with torch.no_grad():
        flow.gamma.copy_(1 + torch.rand(dim))
        flow.beta.copy_(torch.randn(dim))
        flow.moving_mean.copy_(torch.randn(dim))
        flow.moving_variance.copy_(0.5 + torch.rand(dim))
    return flow.eval()


def identity_below(dim):
    """A coupling layer of splines that leaves its first part as it is."""
    network = spline_coupling(dim, 1, [8]).upper_spline.nn
    return SplineCoupling(dim, 1, network, identity=True)


def channels(dim):
    """A mixture of the channels of images, of which there are ``dim``."""
    return transforms.generalized_channel_permute(channels=dim)


def conditional_channels(dim):
    flow = transforms.conditional_generalized_channel_permute(len(CONTEXT), dim, [8])
    return flow.condition(CONTEXT)


class LazyAffine(torch.nn.Module):
    """A module that makes a transform of torch, as other libraries write flows."""

    def __init__(self, dim, context_dim=0):
        super().__init__()
        self.dim = dim
        self.network = torch.nn.Linear(context_dim + 1, 2 * dim)

    def forward(self, context=torch.zeros(0)):
        inputs = torch.cat([context, torch.ones(1)]).to(self.network.weight.dtype)
        loc, log_scale = self.network(inputs).chunk(2, -1)
        return AffineTransform(loc, log_scale.exp(), event_dim=1)


FLOWS = {
    "affine_autoregressive": affine_autoregressive,
    "affine_autoregressive, stable": factory("affine_autoregressive", stable=True),
    "affine_autoregressive, clipped": factory(
        "affine_autoregressive", [8], log_scale_min_clip=-0.05, log_scale_max_clip=0.05
    ),
    "affine_coupling": affine_coupling,
    "affine_coupling, uneven": factory("affine_coupling", [8, 8], split_dim=1),
    "affine_coupling, clipped": factory(
        "affine_coupling", log_scale_min_clip=-0.05, log_scale_max_clip=0.05
    ),
    "affine_coupling of matrices": lambda dim: affine_coupling([dim, 3], [8], dim=-2),
    "batchnorm": used_batchnorm,
    "block_autoregressive": factory("block_autoregressive", hidden_factors=[3, 2]),
    "block_autoregressive, normal": factory(
        "block_autoregressive", hidden_factors=[3], activation="sigmoid", residual="normal"
    ),
    "block_autoregressive, gated": factory(
        "block_autoregressive", hidden_factors=[3], activation="ELU", residual="gated"
    ),
    "block_autoregressive, leaky": factory(
        "block_autoregressive", hidden_factors=[3], activation="LeakyReLU"
    ),
    "generalized_channel_permute": channels,
    "householder": factory("householder"),
    "lazy": lambda dim: LazyFlow(LazyAffine(dim)),
    "matrix_exponential": factory("matrix_exponential"),
    "neural_autoregressive": factory("neural_autoregressive", [8], width=3),
    "neural_autoregressive, tanh": factory("neural_autoregressive", [8], "tanh", 3),
    "neural_autoregressive, ELU": factory("neural_autoregressive", [8], "ELU", 3),
    "neural_autoregressive, leaky": factory("neural_autoregressive", [8], "LeakyReLU", 3),
    "neural_autoregressive, strong": strong("neural_autoregressive", 3, [8], width=3),
    "planar": planar,
    "planar, steep": steep_planar,
    "polynomial": factory("polynomial", [8]),
    "radial": factory("radial"),
    "radial, strong": strong("radial", 6),
    "spline": factory("spline"),
    "spline, quadratic": factory("spline", order="quadratic", bound=1.5),
    "spline_autoregressive": factory("spline_autoregressive", [8], count_bins=4),
    "spline_autoregressive, quadratic": factory("spline_autoregressive", [8], order="quadratic"),
    "spline_coupling": factory("spline_coupling", hidden_dims=[8]),
    "spline_coupling, quadratic": factory("spline_coupling", hidden_dims=[8], order="quadratic"),
    "spline_coupling, identity": identity_below,
    "sylvester": factory("sylvester"),
    "sylvester, strong": strong("sylvester", 60, 2),
    "conditional_affine_autoregressive": factory("conditional_affine_autoregressive", [8]),
    "conditional_affine_coupling": factory("conditional_affine_coupling", [8]),
    "conditional_generalized_channel_permute": conditional_channels,
    "conditional_householder": factory("conditional_householder", [8], 2),
    "conditional lazy": lambda dim: ConditionalLazyFlow(LazyAffine(dim, 2)).condition(CONTEXT),
    "conditional_matrix_exponential": factory("conditional_matrix_exponential", [8]),
    "conditional_neural_autoregressive": factory("conditional_neural_autoregressive", [8], width=3),
    "conditional_planar": factory("conditional_planar", [8]),
    "conditional_radial": factory("conditional_radial", [8]),
    "conditional_spline": factory("conditional_spline", [8], 4),
    "conditional_spline_autoregressive": factory("conditional_spline_autoregressive", [8], 4),
}
FURTHER_SIZES = {
    "affine_coupling of matrices": (3,),
    "generalized_channel_permute": (2, 2),
    "conditional_generalized_channel_permute": (2, 2),
}
every_flow = pytest.mark.parametrize("name", FLOWS)


def make(name, dim=DIM, dtype=torch.float64):
    torch.manual_seed(0)
    return FLOWS[name](dim).to(dtype)


def event_shape(name, dim=DIM):
    return (dim, *FURTHER_SIZES.get(name, ()))


def noise(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def base(*shape):
    return Independent(Normal(torch.zeros(shape).double(), torch.ones(shape).double()), len(shape))


def uneven(*shape):
    """A normal distribution that a rotation changes."""
    scale = torch.linspace(0.5, 1.5, math.prod(shape), dtype=torch.float64).reshape(shape)
    return Independent(Normal(torch.ones_like(scale), scale), len(shape))


def matrices_of(jacobians, size):
    """Jacobians of events as square matrices."""
    return jacobians.reshape(*jacobians.shape[: -2 * size], -1, math.prod(jacobians.shape[-size:]))


@every_flow
@pytest.mark.parametrize("dim", [2, 5])
def test_the_inverse_undoes_the_transform(name, dim):
    flow, x = make(name, dim), noise(64, *event_shape(name, dim))
    y = flow(x).detach()
    assert_close(flow.inv(y.clone()), x, rtol=1e-9, atol=1e-9)  # a clone is not remembered
    assert_close(flow(flow.inv(y.clone())), y, rtol=1e-9, atol=1e-9)


# one is bounded; of the other, some roots lie so far out that the slopes after them underflow
UNREACHED = {"block_autoregressive", "neural_autoregressive, strong"}


@pytest.mark.parametrize("name", [name for name in FLOWS if name not in UNREACHED])
def test_every_value_has_an_inverse_unless_the_flow_is_bounded(name):
    flow, y = make(name), 3 * noise(64, *event_shape(name))
    assert_close(flow(flow.inv(y)), y, rtol=1e-9, atol=1e-9)


@every_flow
def test_the_log_determinant_equals_that_of_the_jacobian(name):
    flow, shape = make(name), event_shape(name)
    x = noise(20, *shape)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda v: flow._forward(v)[0]))(x)
    expected = torch.linalg.slogdet(matrices_of(jacobians, len(shape))).logabsdet
    y = flow(x)
    back = flow.inv.log_abs_det_jacobian(y, x)
    for got in (
        flow.log_abs_det_jacobian(x, y),
        flow.log_abs_det_jacobian(x.clone(), y.clone()),
        -back,
    ):
        assert_close(got.reshape(20, -1).sum(-1), expected)


@pytest.mark.parametrize("name", [n for n in FLOWS if isinstance(type(make(n)).sign, int)])
def test_the_declared_sign_is_that_of_the_determinant(name):
    flow, shape = make(name), event_shape(name)
    jacobian = torch.func.jacrev(lambda v: flow._forward(v)[0])(noise(*shape))
    assert torch.linalg.slogdet(matrices_of(jacobian, len(shape))).sign == flow.sign


@pytest.mark.parametrize("name", [n for n in FLOWS if "autoregressive" in n or "poly" in n])
def test_an_autoregressive_flow_has_a_triangular_jacobian_in_the_order_of_its_network(name):
    flow, x = make(name), noise(DIM)
    order = flow.arn.get_permutation() if hasattr(flow, "arn") else torch.arange(DIM)
    jacobian = torch.func.jacrev(lambda v: flow._forward(v)[0])(x)[order][:, order]
    assert flow.autoregressive
    assert_close(jacobian.triu(1), torch.zeros_like(jacobian))
    assert bool((jacobian.diagonal() > 0).all())


@every_flow
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_an_event_is_the_last_dimensions(name, batch):
    flow, shape = make(name), event_shape(name)
    x = noise(*batch, *shape)
    y = flow(x)
    assert y.shape == x.shape
    each = shape[: len(shape) - flow.event_dim]  # of elementwise flows
    assert flow.log_abs_det_jacobian(x, y).shape == (*batch, *each)
    assert flow.inv(y.detach().clone()).shape == x.shape
    assert flow.domain.event_dim == flow.codomain.event_dim == flow.event_dim


@every_flow
def test_the_batch_is_mapped_elementwise(name):
    flow, x = make(name), noise(5, *event_shape(name))
    assert_close(flow(x), torch.stack([flow(row) for row in x]))


@every_flow
@pytest.mark.parametrize("direction", ["draw", "score"])
def test_gradients_reach_all_parameters(name, direction):
    flow, shape = make(name), event_shape(name)
    x = noise(50, *shape)
    if direction == "draw":
        y = flow(x)
        value = uneven(*shape).log_prob(y).sum() - flow.log_abs_det_jacobian(x, y).sum()
    else:
        y = flow(x).detach().clone()  # bounded flows do not reach all values
        value = TransformedDistribution(uneven(*shape), [flow]).log_prob(y).sum()
    value.backward()
    for parameter in flow.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any())


@every_flow
def test_the_derivatives_of_the_inverse_are_exact(name):
    flow, shape = make(name), event_shape(name)
    y = flow(noise(*shape)).detach()
    inverse = matrices_of(torch.func.jacrev(flow._inverse)(y), len(shape))
    forward = torch.func.jacrev(lambda v: flow._forward(v)[0])(flow._inverse(y))
    assert_close(
        inverse @ matrices_of(forward, len(shape)), torch.eye(len(inverse), dtype=torch.float64)
    )


@every_flow
def test_the_second_derivatives_of_the_inverse_are_those_of_finite_differences(name):
    flow, shape = make(name), event_shape(name)
    y = flow(noise(*shape)).detach()
    slope = torch.func.grad(lambda v: (flow._inverse(v) * (1 + v)).sum())
    got = torch.func.jvp(slope, (y,), (torch.ones_like(y),))[1]
    step = 1e-6
    assert_close(got, (slope(y + step) - slope(y - step)) / (2 * step), rtol=1e-5, atol=1e-5)


@every_flow
def test_the_score_of_a_fixed_value_has_the_gradient_of_finite_differences(name):
    flow, shape = make(name), event_shape(name)
    y = flow(noise(6, *shape)).detach().clone()
    parameter = next(flow.parameters())
    direction = noise(*parameter.shape, seed=2)

    def score(step):
        with torch.no_grad():
            parameter.add_(direction, alpha=step)
            value = TransformedDistribution(uneven(*shape), [flow]).log_prob(y).sum()
            parameter.sub_(direction, alpha=step)
        return value

    TransformedDistribution(uneven(*shape), [flow]).log_prob(y).sum().backward()
    numerical = (score(1e-6) - score(-1e-6)) / 2e-6
    assert_close((parameter.grad * direction).sum(), numerical, rtol=1e-5, atol=1e-6)


@every_flow
def test_draws_have_the_shape_of_sample_batch_and_event(name):
    flow, shape = make(name), event_shape(name)
    batch = Independent(Normal(torch.zeros(5, *shape).double(), 1.0), len(shape))
    distribution = dist.TransformedDistribution(batch, [flow])
    assert (distribution.batch_shape, distribution.event_shape) == ((5,), shape)
    draws = distribution.rsample((2, 3))
    assert draws.shape == (2, 3, 5, *shape)
    scores = distribution.log_prob(draws)
    assert scores.shape == (2, 3, 5)
    assert_close(distribution.log_prob(draws.detach().clone()), scores)
    one = dist.TransformedDistribution(base(*shape), [flow]).expand([4])
    assert one.sample((2,)).shape == (2, 4, *shape)


@every_flow
def test_a_draw_is_scored_without_an_inverse(name, monkeypatch):
    flow = make(name)
    distribution = TransformedDistribution(base(*event_shape(name)), [flow])
    draw = distribution.rsample((3,))
    expected = distribution.log_prob(draw.clone())
    monkeypatch.setattr(flow, "_inverse", lambda y: pytest.fail("an inverse was computed"))
    assert_close(distribution.log_prob(draw), expected)
    with torch.no_grad():
        distribution.log_prob(distribution.sample())


@every_flow
def test_a_draw_is_scored_anew_after_the_parameters_have_changed(name):
    flow = make(name)
    distribution = TransformedDistribution(base(*event_shape(name)), [flow])
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(0.9)
        draw = distribution.sample((3,))
        for parameter in flow.parameters():
            parameter.mul_(1.1)
        assert_close(distribution.log_prob(draw), distribution.log_prob(draw.clone()))


@every_flow
def test_a_draw_without_a_graph_still_teaches_the_parameters(name):
    flow = make(name)
    distribution = TransformedDistribution(uneven(*event_shape(name)), [flow])
    draw = distribution.sample((3,))  # under no_grad
    gradients = [
        torch.autograd.grad(distribution.log_prob(value).sum(), list(flow.parameters()))
        for value in (draw, draw.clone())
    ]
    assert_close(*gradients)


@every_flow
def test_the_log_determinant_that_comes_with_an_inverse_is_that_of_the_transform(name):
    flow, y = make(name), make(name)(noise(3, *event_shape(name))).detach()
    with torch.no_grad():
        x = flow.inv(y)
        assert_close(flow.log_abs_det_jacobian(x, y), flow._forward(x)[1])


@pytest.mark.parametrize("name", [name for name in FLOWS if "householder" not in name])
def test_a_log_determinant_that_was_found_without_a_graph_still_teaches(name):
    flow, y = make(name), make(name)(noise(3, *event_shape(name))).detach()
    with torch.no_grad():
        x = flow.inv(y)
    parameters = list(flow.parameters())
    got, expected = (
        torch.autograd.grad(log_det.sum(), parameters, allow_unused=True)
        for log_det in (flow.log_abs_det_jacobian(x, y), flow._forward(x)[1])
    )
    assert_close(got, expected)


@every_flow
def test_a_transform_is_a_module_that_can_be_copied_and_saved(name):
    flow, x = make(name), noise(3, *event_shape(name))
    y = flow(x)
    for other in (copy.copy(flow), copy.deepcopy(flow), make(name)):
        other.load_state_dict(flow.state_dict())
        assert_close(other(x), y)
    assert_close(pickle.loads(pickle.dumps(flow))(x), y)
    assert flow in {flow}


@every_flow
def test_a_step_of_training_raises_the_score(name):
    flow, shape = make(name), event_shape(name)
    distribution = TransformedDistribution(uneven(*shape), [flow])
    data = flow(noise(30, *shape)).detach().clone()
    before = distribution.log_prob(data).sum()
    before.backward()
    length = torch.stack([p.grad.norm() for p in flow.parameters()]).norm()
    torch.optim.SGD(flow.parameters(), lr=1e-7 / length.item(), maximize=True).step()
    assert distribution.log_prob(data).sum() > before


@every_flow
def test_a_flow_at_a_site_has_its_parameters_in_the_store(name):
    flow, shape = make(name), event_shape(name)

    def guide():
        ppl.module("flow", flow)
        ppl.sample("x", dist.TransformedDistribution(uneven(*shape), [flow]))

    ppl.clear_param_store()
    trace = ppl.poutine.trace(guide).get_trace()
    assert trace.log_prob_sum().isfinite()
    stored = {key.removeprefix("flow$$$") for key in ppl.get_param_store()}
    assert stored == {key for key, _ in flow.named_parameters()}
    ppl.clear_param_store()


@every_flow
def test_dtype_is_kept(name):
    flow, x = make(name, dtype=torch.float32), noise(3, *event_shape(name)).float()
    y = flow(x)
    assert y.dtype == flow.log_abs_det_jacobian(x, y).dtype == torch.float32
    back = flow.inv(y.detach().clone())
    assert back.dtype == torch.float32
    assert_close(back, x, rtol=1e-2, atol=1e-2)


@every_flow
@pytest.mark.parametrize("direction", ["draw", "score"])
def test_a_flow_can_be_recorded_under_vmap_and_grad(name, direction, monkeypatch):
    # fewer steps of the same kind are quicker to record
    monkeypatch.setattr("ppl.contrib.flows.root._BISECTIONS", 8)
    flow, shape = make(name, 2), event_shape(name, 2)

    def value(x):
        if direction == "score":
            x = flow.inv(x)
        y = flow(x)
        return y.sum() + flow.log_abs_det_jacobian(x, y).sum()

    program = torch.func.vmap(torch.func.grad(value))
    start, x = (flow(noise(3, *shape, seed=seed)).detach() for seed in (1, 5))
    recorded = make_fx(program)(start)
    assert_close(recorded(x), program(x))  # another point than the recorded one


def test_flows_compose():
    torch.manual_seed(0)
    flow = ComposeTransform([planar(3), affine_autoregressive(3), affine_coupling(3)])
    x = torch.randn(5, 3)
    y = flow(x)
    assert_close(flow.inv(y.detach().clone()), x, rtol=1e-4, atol=1e-5)
    jacobians = torch.func.vmap(torch.func.jacrev(flow))(x)
    assert_close(flow.log_abs_det_jacobian(x, y), torch.linalg.slogdet(jacobians).logabsdet)


def banana(num_draws, seed):
    """Draws of the banana density: a parabola with normal noise, and its entropy in nats."""
    z = noise(num_draws, 2, seed=seed)
    return torch.stack([z[:, 0], 0.3 * z[:, 1] + z[:, 0].square()], -1)


BANANA_ENTROPY = 1 + math.log(2 * math.pi) + math.log(0.3)


@pytest.mark.parametrize("name", ["affine_coupling", "affine_autoregressive"])
def test_a_flow_fitted_by_maximum_likelihood_finds_the_banana(name):
    # the identity order, in which one layer suffices: the second component given the first
    torch.manual_seed(0)
    flow = affine_coupling(2, [32])
    if name == "affine_autoregressive":
        flow = AffineAutoregressive(AutoRegressiveNN(2, [32], permutation=torch.arange(2)))
    distribution = TransformedDistribution(base(2), [flow.double()])
    train, test = banana(1000, seed=3), banana(1000, seed=4)
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.02)
    before = distribution.log_prob(test).mean().item()
    for _ in range(300):
        optimizer.zero_grad()
        (-distribution.log_prob(train).mean()).backward()
        optimizer.step()
    after = distribution.log_prob(test).mean().item()
    base_score = base(2).log_prob(test).mean().item()
    assert before < base_score + 1 < after
    # the mean score of 1000 draws of the truth is -entropy, with a standard error of
    # sqrt(1 / 1000); the network's own error is allowed 0.1 nats
    assert abs(after + BANANA_ENTROPY) < 4 * math.sqrt(1 / 1000) + 0.1


def moons(num_draws, seed):
    """Draws of two half circles that reach into each other, with normal noise."""
    generator = torch.Generator().manual_seed(seed)
    angle = math.pi * torch.rand(num_draws, generator=generator, dtype=torch.float64)
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    is_upper = torch.rand(num_draws, 1, generator=generator) < 0.5
    lower = torch.tensor([1.0, 0.5], dtype=torch.float64) - upper
    noisy = 0.1 * torch.randn(num_draws, 2, generator=generator, dtype=torch.float64)
    return torch.where(is_upper, upper, lower) + noisy


def moons_score(x):
    """The log density of the moons: an integral over the angle, on a fine grid."""
    angle = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000 * math.pi
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    centres = torch.cat([upper, torch.tensor([1.0, 0.5], dtype=torch.float64) - upper])
    distances = (x[:, None] - centres).square().sum(-1)
    return (-distances / 0.02).logsumexp(-1) - math.log(len(centres) * 2 * math.pi * 0.01)


MOON_FLOWS = {
    "spline_coupling": (lambda: spline_coupling(2, 1, [16, 16]), False),
    "neural_autoregressive": (lambda: transforms.neural_autoregressive(2, [16], width=8), True),
}


@pytest.mark.parametrize("name", MOON_FLOWS)
def test_a_flow_fitted_to_two_moons_comes_close_to_their_entropy(name):
    torch.manual_seed(0)
    make_flow, is_inverted = MOON_FLOWS[name]  # inverted, what is quick is the score
    flows = torch.nn.ModuleList([make_flow(), make_flow()]).double()
    first, last = (flow.inv if is_inverted else flow for flow in flows)
    swap = transforms.permute(2, torch.tensor([1, 0]))
    distribution = TransformedDistribution(base(2), [first, swap, last])
    train, test = moons(1000, seed=3), moons(1000, seed=4)
    optimizer = torch.optim.Adam(flows.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-distribution.log_prob(train).mean()).backward()
        optimizer.step()
    # nats above the entropy of about 1.0; the best normal distribution is 0.9 above it
    gap = (moons_score(test) - distribution.log_prob(test).detach()).mean()
    assert 0 < gap < 0.4
    draws = distribution.sample((200,))
    assert moons_score(draws).median() > moons_score(test).median() - 1


def test_planar_flows_fitted_to_an_unnormalized_banana_come_closer_than_their_base():
    torch.manual_seed(0)
    flows = torch.nn.ModuleList([planar(2) for _ in range(4)]).double()
    distribution = TransformedDistribution(base(2), list(flows))

    def log_density(x):
        return -0.5 * (x[:, 0].square() + ((x[:, 1] - x[:, 0].square()) / 0.3).square())

    def divergence(q, seed):
        torch.manual_seed(seed)
        x = q.rsample((500,))
        return (q.log_prob(x) - log_density(x)).mean()

    optimizer = torch.optim.Adam(flows.parameters(), lr=0.02)
    for step in range(300):
        optimizer.zero_grad()
        divergence(distribution, step).backward()
        optimizer.step()
    assert divergence(distribution, 1000) < divergence(base(2), 1000) - 5


def test_the_stable_form_only_contracts():
    flow, x = make("affine_autoregressive, stable"), noise(20, DIM)
    assert bool((flow.log_abs_det_jacobian(x, flow(x)) < 0).all())


def test_a_planar_flow_is_invertible_whatever_its_parameters():
    flow = Planar(3).double()
    for seed in range(20):
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.copy_(10 * noise(*parameter.shape, seed=seed))
        x = noise(50, 3, seed=seed)
        assert bool(flow.log_abs_det_jacobian(x, flow(x)).isfinite().all())
        assert_close(flow.inv(flow(x).clone()), x, rtol=1e-6, atol=1e-6)


def test_an_inverse_respects_the_order_of_its_network():
    torch.manual_seed(0)
    network = AutoRegressiveNN(5, [20], permutation=torch.tensor([3, 1, 4, 0, 2]))
    flow, x = AffineAutoregressive(network).double(), noise(8, 5)
    assert_close(flow.inv(flow(x).clone()), x)


def test_a_network_with_a_context_makes_a_flow_with_one():
    torch.manual_seed(0)
    network = ConditionalAutoRegressiveNN(3, 2, [16]).double()
    context = noise(2)

    class Given(torch.nn.Module):
        def get_permutation(self):
            return network.get_permutation()

        def forward(self, x):
            return network(x, context)

    flow, x = AffineAutoregressive(Given()), noise(4, 3)
    assert_close(flow.inv(flow(x).clone()), x)


@pytest.mark.parametrize("input_dim, split_dim", [(1, None), (3, 0), (3, 3)])
def test_a_split_that_leaves_nothing_is_refused(input_dim, split_dim):
    with pytest.raises(ShapeError, match="split"):
        affine_coupling(input_dim, split_dim=split_dim)


def test_a_transform_without_its_two_directions_says_so():
    bare = TransformModule()
    for call in (bare, bare._inv_call):
        with pytest.raises(NotImplementedError):
            call(torch.zeros(2))


class Scale(TransformModule):
    """A flow written as transforms of torch are."""

    domain = codomain = dist.constraints.real_vector
    bijective = True

    def __init__(self):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.tensor([0.5, -1.0], dtype=torch.float64))

    def _call(self, x):
        return x * self.log_scale.exp()

    def _inverse(self, y):
        return y * (-self.log_scale).exp()


class ScaleWithJacobian(Scale):
    def log_abs_det_jacobian(self, x, y):
        return self.log_scale.sum().expand(x.shape[:-1])


def test_a_flow_may_be_written_as_transforms_of_torch_are():
    flow = ScaleWithJacobian()
    distribution = TransformedDistribution(base(2), [flow])
    draw = distribution.rsample((5,))
    expected = Independent(Normal(0.0, flow.log_scale.exp()), 1).log_prob(draw)
    assert_close(distribution.log_prob(draw), expected)
    assert_close(distribution.log_prob(draw.clone()), expected)


def test_a_flow_without_a_log_determinant_says_what_to_define():
    flow, x = Scale(), noise(2)
    with pytest.raises(IntractableError, match="Scale defines _call but no log_abs_det_jacobian"):
        flow.log_abs_det_jacobian(x, flow(x))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: transforms.spline(2, order="cubic"), ArgumentError, "'linear' or 'quadratic'"),
        (lambda: transforms.conditional_spline(2, 2, order="cubic"), ArgumentError, "cubic"),
        (lambda: transforms.spline(2, bound=-1.0), ArgumentError, "bound > 0"),
        (lambda: transforms.spline(2, count_bins=1000), ArgumentError, "from 1 to 999 bins"),
        (lambda: transforms.spline_autoregressive(2, count_bins=0), ArgumentError, "bins"),
        (
            lambda: transforms.neural_autoregressive(2, activation="relu"),
            ArgumentError,
            "LeakyReLU",
        ),
        (lambda: transforms.block_autoregressive(2, residual="full"), ArgumentError, "gated"),
        (lambda: transforms.householder(2, 0), ArgumentError, "at least 1"),
        (
            lambda: transforms.matrix_exponential(2, normalization="weight"),
            IntractableError,
            "none",
        ),
        (lambda: transforms.spline_coupling(2, 2), ShapeError, "split"),
        (lambda: affine_coupling([2, 3]), ShapeError, "1 sizes"),
        (lambda: transforms.AffineCoupling(2, abs, dim=0), ArgumentError, "right"),
        (
            lambda: transforms.GeneralizedChannelPermute(3, torch.tensor([0, 0, 1])),
            ShapeError,
            "3 channels",
        ),
        (lambda: BatchNorm(2).inv(torch.zeros(2)), ShapeError, r"\.eval\(\)"),
    ],
)
def test_what_makes_no_flow_is_refused_with_what_does(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", sorted(transforms._PROVIDERS))
def test_flows_are_found_among_the_transforms(name):
    assert getattr(transforms, name) is getattr(ppl.contrib.flows, name)


def test_a_conditioned_flow_is_found_below_the_factory_that_shares_its_name():
    assert isinstance(planar(2), transforms.planar.ConditionedPlanar)
