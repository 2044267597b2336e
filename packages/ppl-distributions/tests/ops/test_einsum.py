"""Contractions of logarithms and the backends of opt_einsum."""

import math

import opt_einsum
import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError
from ppl.ops.einsum import contract, contract_expression, torch_log, torch_map

BACKENDS = [f"ppl.ops.einsum.torch_{name}" for name in ("log", "map", "sample", "marginal")]
EQUATIONS = [
    "ab,bc->ac",
    "ab,bc,cd->da",
    "abc->b",
    "ab,ab->",
    "ab,cd->cb",
    "zab,zbc->zca",
    "a,b->ba",
]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def operands(equation):
    terms = equation.split("->")[0].split(",")
    return [noise(*(2 + ord(s) % 3 for s in term), seed=i) for i, term in enumerate(terms)]


def by_definition(equation, tensors, backend):
    """Write out all products, then reduce."""
    inputs, output = equation.split("->")
    joint = output + "".join(sorted({*inputs} - {*output, ","}))
    ones = ",".join(joint)
    table = 0.0
    for term, tensor in zip(inputs.split(","), tensors, strict=True):
        sizes = [torch.ones(2 + ord(s) % 3, dtype=torch.float64) for s in joint]
        table = table + torch.einsum(f"{term},{ones}->{joint}", tensor, *sizes)
    flat = table.flatten(len(output)) if len(joint) > len(output) else table[..., None]
    return flat.amax(-1) if backend.endswith("map") else flat.logsumexp(-1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_every_backend_contracts_what_it_says(equation, backend):
    tensors = operands(equation)
    want = by_definition(equation, tensors, backend)
    assert_close(contract(equation, *tensors, backend=backend), want)
    assert_close(opt_einsum.contract(equation, *tensors, backend=backend), want)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_large_contraction_equals_a_small_one(equation, monkeypatch):
    tensors = operands(equation)
    want = torch_log.einsum(equation, *tensors)
    monkeypatch.setattr(torch_log, "LARGEST_TABLE", 0)
    assert_close(torch_log.einsum(equation, *tensors), want)


@pytest.mark.parametrize("limit", [0, 2**18])
def test_impossible_entries_have_zero_gradients(limit, monkeypatch):
    monkeypatch.setattr(torch_log, "LARGEST_TABLE", limit)
    x = torch.tensor([[0.0, -math.inf], [-math.inf, -math.inf]], requires_grad=True)
    y = torch.zeros(2, 3, requires_grad=True)
    result = torch_log.einsum("ab,bc->ac", x, y)
    assert_close(result.detach(), torch.tensor([[0.0] * 3, [-math.inf] * 3]))
    gradients = torch.autograd.grad(result[0].sum() + result[1].exp().sum(), (x, y))
    assert_close(gradients[0], torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
    assert_close(gradients[1], torch.tensor([[1.0] * 3, [0.0] * 3]))


def test_operands_that_disagree_by_a_thousand_nats_keep_their_sum():
    x, y = torch.tensor([0.0, -1000.0]), torch.tensor([-1000.0, 0.0])
    assert_close(torch_log.einsum("a,a->", x, y), torch.tensor(-1000.0 + math.log(2.0)))


@pytest.mark.parametrize("axes", [1, 0, ((1,), (0,)), ((0, 1), (1, 0))])
def test_tensordot_sums_over_pairs_of_axes(axes):
    x = noise(3, 3)
    assert_close(torch_log.tensordot(x, x, axes), torch.tensordot(x.exp(), x.exp(), axes).log())
    expected = (x[:, :, None] + x[None]).amax(1)
    assert_close(torch_map.tensordot(x, x, 1), expected)


def test_gradients_are_those_of_the_log_partition_function():
    x, y = noise(3, 4).requires_grad_(), noise(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: torch_log.einsum("ab,bc->ca", x, y), (x, y))


def test_an_expression_is_made_once_for_the_same_shapes():
    first = contract_expression("ab,bc->ac", (2, 3), (3, 4))
    assert contract_expression("ab,bc->ac", (2, 3), (3, 4)) is first
    assert contract_expression("ab,bc->ac", (2, 3), (3, 4), cache_path=False) is not first


def test_a_repeated_symbol_is_refused():
    with pytest.raises(ShapeError, match="aa->a"):
        torch_log.einsum("aa->a", noise(2, 2))
