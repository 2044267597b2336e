"""Laws of the networks inside flows."""

import itertools

import pytest
import torch
from torch.testing import assert_close

import ppl.contrib.flows as flows
from ppl import nn
from ppl.contrib.flows import (
    AutoRegressiveNN,
    ConditionalAutoRegressiveNN,
    ConditionalDenseNN,
    DenseNN,
    MaskedLinear,
    create_mask,
)
from ppl.errors import ShapeError

ORDERS = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]


def dependence(network, input_dim, seed=0):
    """Which outputs change with which inputs, tried at random points (a ReLU may hide some)."""
    points = torch.randn(20, input_dim, generator=torch.Generator().manual_seed(seed))
    jacobians = [torch.autograd.functional.jacobian(network, point) for point in points]
    return torch.stack(jacobians).abs().amax(0) > 0  # (*output, input)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("hidden_dims", [[32], [32, 16], []])
@pytest.mark.parametrize("skip", [False, True])
def test_an_output_depends_on_exactly_the_inputs_before_it(order, hidden_dims, skip):
    network = AutoRegressiveNN(
        4,
        hidden_dims,
        param_dims=[2],
        permutation=torch.tensor(order),
        skip_connections=skip,
        nonlinearity=torch.nn.Tanh(),
    )
    places = torch.tensor(order).argsort()
    expected = (places[:, None] > places).expand(2, 4, 4)
    assert torch.equal(dependence(network, 4), expected)


def test_the_order_is_random_by_default_and_kept_in_the_state():
    networks = [AutoRegressiveNN(30, [30]) for _ in range(2)]
    assert not torch.equal(networks[0].get_permutation(), networks[1].get_permutation())
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.randn(5, 30)
    assert_close(networks[0](x), networks[1](x))


@pytest.mark.parametrize("input_dim, hidden_dim", list(itertools.product([1, 2, 5], [1, 2, 7])))
@pytest.mark.parametrize("context_dim", [0, 3])
def test_masks_are_autoregressive_for_all_sizes(input_dim, hidden_dim, context_dim):
    order = torch.randperm(input_dim)
    masks, skip = create_mask(input_dim, context_dim, [hidden_dim, hidden_dim], order, 2)
    reaches = masks[2] @ masks[1] @ masks[0] > 0
    assert bool((skip.bool() | ~reaches).all())
    places = order.argsort()
    expected = torch.cat(
        [torch.ones(input_dim, context_dim), (places[:, None] > places).float()], -1
    )
    assert_close(skip, expected.repeat(2, 1))


def test_every_output_sees_the_whole_context():
    network = ConditionalAutoRegressiveNN(3, 2, [32], param_dims=[1], nonlinearity=torch.nn.Tanh())
    x = torch.randn(3)
    jacobian = torch.autograd.functional.jacobian(lambda c: network(x, context=c), torch.randn(2))
    assert bool((jacobian != 0).all())


@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
@pytest.mark.parametrize("param_dims", [[1], [1, 1], [1, 5, 3], [4]])
def test_parameters_have_the_declared_shapes(batch, param_dims):
    def shapes(result):
        return [part.shape for part in (result if isinstance(result, tuple) else (result,))]

    autoregressive = AutoRegressiveNN(6, [8], param_dims)(torch.randn(*batch, 6))
    rows = [batch + ((6,) if size == 1 else (size, 6)) for size in param_dims]
    assert shapes(autoregressive) == rows
    conditional = ConditionalAutoRegressiveNN(6, 2, [8], param_dims)
    assert shapes(conditional(torch.randn(*batch, 6), torch.randn(2))) == rows
    dense = DenseNN(6, [8], param_dims)(torch.randn(*batch, 6))
    rows = [(*batch, size) for size in param_dims]
    assert shapes(dense) == rows
    conditional = ConditionalDenseNN(6, 2, [8], param_dims)
    assert shapes(conditional(torch.randn(*batch, 6), context=torch.randn(2))) == rows


@pytest.mark.parametrize("permutation", [[0, 0, 1], [0, 1], [1, 2, 3]])
def test_what_is_no_permutation_is_refused(permutation):
    with pytest.raises(ShapeError, match="permutation"):
        AutoRegressiveNN(3, [8], permutation=torch.tensor(permutation))


def test_a_conditional_network_is_one_of_context_and_input_together():
    conditional, dense = ConditionalDenseNN(3, 2, [8, 4]), DenseNN(5, [8, 4])
    dense.load_state_dict(conditional.state_dict())
    x, context = torch.randn(7, 3), torch.randn(7, 2)
    assert_close(conditional(x, context), dense(torch.cat([context, x], -1)))
    assert (conditional.input_dim, conditional.context_dim) == (3, 2)


@pytest.mark.parametrize("bias", [True, False])
def test_a_masked_layer_is_a_linear_one_with_weights_at_zero(bias):
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    layer, plain = MaskedLinear(3, 2, mask, bias=bias), torch.nn.Linear(3, 2, bias=bias)
    plain.load_state_dict({name: layer.state_dict()[name] for name in plain.state_dict()})
    plain.weight.data *= mask
    x = torch.randn(5, 3)
    assert_close(layer(x), plain(x))
    layer(x).sum().backward()
    assert_close(layer.weight.grad != 0, mask.bool())


NETWORKS = ["AutoRegressiveNN", "ConditionalAutoRegressiveNN", "ConditionalDenseNN", "DenseNN"]


@pytest.mark.parametrize("name", [*NETWORKS, "MaskedLinear"])
def test_a_network_is_at_its_documented_path(name):
    assert getattr(nn, name) is getattr(flows, name)
    assert name in dir(nn)


def test_the_modules_are_at_their_documented_paths():
    from ppl.nn.auto_reg_nn import create_mask as documented

    assert documented is create_mask
    assert nn.dense_nn.DenseNN is DenseNN
