"""Laws of flows that depend on a context."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.distributions.transforms as transforms

DIM, CONTEXT_DIM = 3, 2
FLOWS = {
    "conditional_affine_autoregressive": {},
    "conditional_affine_coupling": {},
    "conditional_householder": {"count_transforms": 2},
    "conditional_matrix_exponential": {},
    "conditional_neural_autoregressive": {"width": 3},
    "conditional_planar": {},
    "conditional_radial": {},
    "conditional_spline": {"count_bins": 4},
    "conditional_spline_autoregressive": {"count_bins": 4},
}
every_flow = pytest.mark.parametrize("name", FLOWS)


def make(name):
    torch.manual_seed(0)
    return getattr(transforms, name)(DIM, CONTEXT_DIM, [8], **FLOWS[name]).double()


def noise(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def base():
    return dist.Normal(torch.linspace(-1, 1, DIM).double(), 1.0).to_event(1)


@every_flow
def test_a_batch_of_contexts_is_one_flow_for_each(name):
    conditional, x, contexts = make(name), noise(5, DIM), noise(5, CONTEXT_DIM, seed=2)
    flow = conditional.condition(contexts)
    y = flow(x)
    each = [conditional.condition(context) for context in contexts]
    assert_close(y, torch.stack([one(row) for one, row in zip(each, x, strict=True)]))
    assert_close(flow.inv(y.detach().clone()), x)


@every_flow
def test_one_value_under_many_contexts_has_an_image_for_each(name):
    conditional, x, contexts = make(name), noise(DIM), noise(5, CONTEXT_DIM, seed=2)
    flow = conditional.condition(contexts)
    y, expected = flow(x), conditional.condition(contexts)(x.expand(5, DIM))
    assert_close(y, expected)
    assert flow.log_abs_det_jacobian(x, y).shape[0] == 5
    back = [conditional.condition(context).inv(x) for context in contexts]
    assert_close(flow.inv(x), torch.stack(back))


@every_flow
def test_the_context_matters_and_learns(name):
    conditional, x = make(name), noise(4, DIM)
    context = noise(CONTEXT_DIM, seed=2).requires_grad_()
    flow = conditional.condition(context)
    assert not torch.allclose(flow(x), conditional.condition(context + 1)(x))
    distribution = dist.TransformedDistribution(base(), [flow])
    draw = distribution.sample((4,))  # without a graph, which must not hide the context
    for parameter in conditional.parameters():
        parameter.requires_grad_(False)
    (of_draw,) = torch.autograd.grad(distribution.log_prob(draw).sum(), context)
    (of_copy,) = torch.autograd.grad(distribution.log_prob(draw.clone()).sum(), context)
    assert_close(of_draw, of_copy)
    assert bool((of_draw != 0).all())


@every_flow
def test_a_flow_that_was_given_a_context_once_can_be_trained(name):
    conditional, x = make(name), noise(20, DIM)
    flow = conditional.condition(noise(CONTEXT_DIM, seed=2))
    distribution = dist.TransformedDistribution(base(), [flow])
    optimizer = torch.optim.SGD(conditional.parameters(), lr=1e-5)
    data = flow(x).detach().clone()
    scores = []
    for _ in range(3):
        optimizer.zero_grad()
        score = distribution.log_prob(data).mean()
        (-score).backward()
        optimizer.step()
        scores.append(score.item())
    assert scores[0] < scores[1] < scores[2]


@every_flow
def test_the_inverse_of_a_conditional_flow_is_conditional(name):
    conditional, x, context = make(name), noise(4, DIM), noise(CONTEXT_DIM, seed=2)
    y = conditional.condition(context)(x).detach()
    assert_close(conditional.inv.condition(context)(y.clone()), x)
    assert conditional.inv.inv is conditional


@every_flow
def test_a_conditional_flow_declares_what_its_flows_do(name):
    conditional = make(name)
    flow = conditional.condition(noise(CONTEXT_DIM))
    for key in ("event_dim", "bijective", "domain", "codomain"):
        assert str(getattr(conditional, key)) == str(getattr(flow, key))
    assert set(conditional.state_dict()) == {f"nn.{key}" for key in conditional.nn.state_dict()}


@every_flow
def test_a_conditional_flow_at_a_site_has_its_network_in_the_store(name):
    conditional, contexts = make(name), noise(5, CONTEXT_DIM)
    conditioned = dist.ConditionalTransformedDistribution(base(), [conditional])

    def model():
        ppl.module("flow", conditional)
        with ppl.plate("rows", 5):
            ppl.sample("x", conditioned.condition(contexts), obs=torch.zeros(5, DIM).double())

    ppl.clear_param_store()
    trace = ppl.poutine.trace(model).get_trace()
    trace.compute_log_prob()
    assert trace.nodes["x"]["log_prob"].shape == (5,)
    assert len(list(ppl.get_param_store())) == len(list(conditional.parameters()))
    ppl.clear_param_store()


def test_parts_with_and_without_context_go_together():
    torch.manual_seed(0)
    parts = [transforms.planar(DIM), transforms.conditional_planar(DIM, CONTEXT_DIM)]
    conditional = dist.ConditionalTransformedDistribution(
        dist.Normal(torch.zeros(DIM), 1.0).to_event(1), parts
    )
    given = conditional.condition(torch.ones(CONTEXT_DIM))
    draw = given.rsample((6,))
    assert_close(given.log_prob(draw), given.log_prob(draw.clone()), rtol=1e-4, atol=1e-4)


def test_any_function_of_a_context_conditions_a_flow():
    flow = transforms.ConditionalPlanar(lambda shift: (torch.zeros(1), shift, shift))
    x = torch.randn(DIM, generator=torch.Generator().manual_seed(0))
    u = torch.ones(DIM)
    planar = transforms.Planar(DIM)
    with torch.no_grad():
        planar.u.copy_(u)
        planar.w.copy_(u)
    assert_close(flow.condition(u)(x), planar(x))


@every_flow
def test_a_flow_that_is_given_a_context_while_recording_is_recorded(name, monkeypatch):
    # fewer steps of the same kind are quicker to record
    monkeypatch.setattr("ppl.contrib.flows.root._BISECTIONS", 8)
    conditional = make(name)

    def score(context):
        flow = conditional.condition(context)
        y = flow(context.new_ones(DIM))
        x = flow.inv(y + 0.0)
        return flow.log_abs_det_jacobian(x, y).sum() + y.sum() + x.sum()

    program = torch.func.vmap(torch.func.grad(score))
    recorded = make_fx(program)(noise(4, CONTEXT_DIM))
    contexts = noise(4, CONTEXT_DIM, seed=5)
    assert_close(recorded(contexts), program(contexts))


class Shifts(torch.nn.Module):
    """An autoregressive network as somebody else may write it: an order, and a named context."""

    permutation = torch.tensor([1, 0])

    def forward(self, x, *, context):
        first = context.expand(*x.shape[:-1], 1)
        shift = torch.cat([x[..., 1:] * context, first], -1)  # of component 0 given 1
        return shift, torch.zeros_like(shift)


def test_a_network_names_its_order_and_takes_its_context_by_name():
    flow = transforms.ConditionalAffineAutoregressive(Shifts()).condition(torch.tensor([2.0]))
    x = torch.tensor([[1.0, 3.0]])
    assert_close(flow(x), torch.tensor([[7.0, 5.0]]))
    assert_close(flow.inv(torch.tensor([[7.0, 5.0]])), x)
