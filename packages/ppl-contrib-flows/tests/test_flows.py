"""Laws of every learnable transform."""

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import ComposeTransform
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import ppl.distributions.transforms as transforms
from ppl.contrib.flows import (
    AffineAutoregressive,
    AutoRegressiveNN,
    ConditionalAutoRegressiveNN,
    Planar,
    TransformModule,
    affine_autoregressive,
    affine_coupling,
    planar,
)
from ppl.errors import ShapeError

FLOWS = {
    "affine_autoregressive": affine_autoregressive,
    "affine_autoregressive, stable": lambda dim: affine_autoregressive(dim, stable=True),
    "affine_autoregressive, clipped": lambda dim: affine_autoregressive(
        dim, [8], log_scale_min_clip=-0.05, log_scale_max_clip=0.05
    ),
    "affine_coupling": affine_coupling,
    "affine_coupling, uneven": lambda dim: affine_coupling(dim, [8, 8], split_dim=1),
    "affine_coupling, clipped": lambda dim: affine_coupling(
        dim, log_scale_min_clip=-0.05, log_scale_max_clip=0.05
    ),
    "planar": planar,
    "planar, steep": lambda dim: steep_planar(dim),
}
every_flow = pytest.mark.parametrize("name", FLOWS)
DIM = 4


def steep_planar(dim):
    """A planar flow at the edge of what is invertible, where ``u`` must be moved far."""
    flow = planar(dim)
    with torch.no_grad():
        flow.w.mul_(8)
        flow.u.copy_(-3 * flow.w)
    return flow


def make(name, dim=DIM, dtype=torch.float64):
    torch.manual_seed(0)
    return FLOWS[name](dim).to(dtype)


def noise(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def base(dim=DIM):
    return Independent(Normal(torch.zeros(dim).double(), torch.ones(dim).double()), 1)


@every_flow
@pytest.mark.parametrize("dim", [2, 5])
def test_the_inverse_undoes_the_transform(name, dim):
    flow, x = make(name, dim), noise(64, dim)
    assert_close(flow.inv(flow(x).clone()), x, rtol=1e-9, atol=1e-9)  # a clone is not remembered
    assert_close(flow(flow.inv(x)), x, rtol=1e-9, atol=1e-9)


@every_flow
def test_the_log_determinant_equals_that_of_the_jacobian(name):
    flow, x = make(name), noise(20, DIM)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda v: flow._forward(v)[0]))(x)
    expected = torch.linalg.slogdet(jacobians).logabsdet
    y = flow(x)
    assert_close(flow.log_abs_det_jacobian(x, y), expected)
    assert_close(flow.log_abs_det_jacobian(x.clone(), y.clone()), expected)
    assert_close(flow.inv.log_abs_det_jacobian(y, x), -expected)


@every_flow
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_an_event_is_the_last_dimension(name, batch):
    flow, x = make(name), noise(*batch, DIM)
    y = flow(x)
    assert y.shape == x.shape
    assert flow.log_abs_det_jacobian(x, y).shape == batch
    assert flow.inv(y.detach().clone()).shape == x.shape
    assert flow.domain.event_dim == flow.codomain.event_dim == flow.event_dim == 1


@every_flow
def test_the_batch_is_mapped_elementwise(name):
    flow, x = make(name), noise(5, DIM)
    assert_close(flow(x), torch.stack([flow(row) for row in x]))


@every_flow
@pytest.mark.parametrize("direction", ["draw", "score"])
def test_gradients_reach_all_parameters(name, direction):
    flow, x = make(name), noise(50, DIM)
    if direction == "draw":
        y = flow(x)
        value = (y.square().sum(-1) - flow.log_abs_det_jacobian(x, y)).sum()
    else:
        value = TransformedDistribution(base(), [flow]).log_prob(x).sum()
    value.backward()
    for parameter in flow.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any())


@every_flow
def test_the_derivatives_of_the_inverse_are_exact(name):
    flow, y = make(name), noise(DIM)
    inverse = torch.func.jacrev(flow._inverse)(y)
    forward = torch.func.jacrev(lambda v: flow._forward(v)[0])(flow._inverse(y))
    assert_close(inverse @ forward, torch.eye(DIM, dtype=torch.float64))


@every_flow
def test_the_score_of_a_fixed_value_has_the_gradient_of_finite_differences(name):
    flow, y = make(name), noise(6, DIM)
    parameter = next(flow.parameters())
    direction = noise(*parameter.shape, seed=2)

    def score(step):
        with torch.no_grad():
            parameter.add_(direction, alpha=step)
            value = TransformedDistribution(base(), [flow]).log_prob(y).sum()
            parameter.sub_(direction, alpha=step)
        return value

    TransformedDistribution(base(), [flow]).log_prob(y).sum().backward()
    numerical = (score(1e-6) - score(-1e-6)) / 2e-6
    assert_close((parameter.grad * direction).sum(), numerical, rtol=1e-5, atol=1e-6)


@every_flow
def test_a_draw_is_scored_without_an_inverse(name, monkeypatch):
    flow = make(name)
    distribution = TransformedDistribution(base(), [flow])
    draw = distribution.rsample((3,))
    expected = distribution.log_prob(draw.clone())
    monkeypatch.setattr(flow, "_inverse", lambda y: pytest.fail("an inverse was computed"))
    assert_close(distribution.log_prob(draw), expected)
    with torch.no_grad():
        distribution.log_prob(distribution.sample())


@every_flow
def test_a_draw_is_scored_anew_after_the_parameters_have_changed(name):
    flow = make(name)
    distribution = TransformedDistribution(base(), [flow])
    draw = distribution.sample((3,))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(1.1)
        assert_close(distribution.log_prob(draw), distribution.log_prob(draw.clone()))


@every_flow
def test_a_draw_without_a_graph_still_teaches_the_parameters(name):
    flow = make(name)
    distribution = TransformedDistribution(base(), [flow])
    draw = distribution.sample((3,))  # under no_grad
    gradients = [
        torch.autograd.grad(distribution.log_prob(value).sum(), list(flow.parameters()))
        for value in (draw, draw.clone())
    ]
    assert_close(*gradients)


@every_flow
def test_a_transform_is_a_module_that_can_be_copied_and_saved(name):
    flow, x = make(name), noise(3, DIM)
    y = flow(x)
    for other in (copy.deepcopy(flow), make(name)):
        other.load_state_dict(flow.state_dict())
        assert_close(other(x), y)
    assert_close(pickle.loads(pickle.dumps(flow))(x), y)
    assert flow in {flow}


@every_flow
def test_dtype_is_kept(name):
    flow, x = make(name, dtype=torch.float32), noise(3, DIM).float()
    y = flow(x)
    assert y.dtype == flow.log_abs_det_jacobian(x, y).dtype == torch.float32
    assert flow.inv(y.detach().clone()).dtype == torch.float32


@every_flow
@pytest.mark.parametrize("direction", ["draw", "score"])
def test_a_flow_can_be_recorded_under_vmap_and_grad(name, direction):
    flow = make(name)

    def value(x):
        if direction == "score":
            x = flow.inv(x)
        y = flow(x)
        return y.sum() + flow.log_abs_det_jacobian(x, y)

    program = torch.func.vmap(torch.func.grad(value))
    recorded = make_fx(program)(noise(3, DIM))
    x = noise(3, DIM, seed=5)  # another point than the recorded one
    assert_close(recorded(x), program(x))


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


@pytest.mark.parametrize("name", ["planar", "affine_coupling", "affine_autoregressive", "Planar"])
def test_flows_are_found_among_the_transforms(name):
    import ppl.contrib.flows

    assert getattr(transforms, name) is getattr(ppl.contrib.flows, name)
