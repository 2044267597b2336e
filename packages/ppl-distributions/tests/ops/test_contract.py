"""Sums of products over factor graphs with plates, with the unrolled sum as the oracle."""

import math
import random

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.errors import IntractableError, ShapeError
from ppl.ops.contract import (
    BACKEND_TO_RING,
    contract_tensor_tree,
    contract_to_tensor,
    einsum,
    naive_ubersum,
    ubersum,
)
from ppl.ops.einsum.adjoint import require_backward
from ppl.ops.packed import align, dims_of, pack, with_dims
from ppl.ops.rings import LinearRing, LogRing, MapRing, SampleRing

SIZES = {"a": 2, "b": 3, "c": 2, "d": 2, "e": 3, "i": 2, "j": 3, "k": 2}
LOG, MAP, SAMPLE, MARGINAL = (
    f"ppl.ops.einsum.torch_{name}" for name in ("log", "map", "sample", "marginal")
)


def random_equation(seed):
    """Factors of one or two variables in nested plates; outputs of one or two variables."""
    rng = random.Random(seed)
    nest = rng.choice([["", "i", "ij"], ["i", "ik", "ijk"], ["", "j"], [""]])
    variables = "abcde"[: rng.randint(2, 5)]
    inputs = [
        "".join(rng.sample(variables, rng.randint(0, 2))) + rng.choice(nest)
        for _ in range(rng.randint(2, 5))
    ]
    plates = {v: set("ijk").intersection(*(x for x in inputs if v in x)) for v in variables}
    used = [v for v in variables if any(v in x for x in inputs)]
    outputs = [""]
    for _ in range(2 if used else 0):
        kept = rng.sample(used, rng.randint(1, min(2, len(used))))
        outputs.append("".join(kept + sorted(set().union(*(plates[v] for v in kept)))))
    return f"{','.join(inputs)}->{','.join(outputs)}"


EQUATIONS = [
    *dict.fromkeys(map(random_equation, range(40))),
    "ab,bc,cd,de->ae,c,",
    "i,ai->i,",
    "ij,ai->i,j,ij,",
    "ab,aci,bi->ci,,ab",
    "a,ai,bij,abij,cij,cdij->dij,bij,,ai",
    "abi,cj,ij->bi,cj,bcij",
    "ai,abij,cik->,bij,cik,bcijk,ai,aij",
    "a,ai,aj,bij,abij,cik->a,bij,cik",
]


def operands(equation, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [[SIZES[s] for s in term] for term in equation.split("->")[0].split(",")]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def tree_of(equation, tensors, plates="ijk"):
    tree = {}
    for dims, tensor in zip(equation.split("->")[0].split(","), tensors, strict=True):
        tree.setdefault(frozenset(plates) & set(dims), []).append(with_dims(tensor, dims))
    return tree


def named(tensor, dims):
    return pack(tensor, {i - len(dims): symbol for i, symbol in enumerate(dims)})


@pytest.mark.parametrize("backend", BACKEND_TO_RING)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_equals_the_unrolled_sum(equation, backend):
    tensors = operands(equation)
    tensors = [x.exp() for x in tensors] if backend == "torch" else tensors
    got = einsum(equation, *tensors, plates="ijk", backend=backend)
    want = naive_ubersum(equation, *tensors, plates="ijk", backend=backend)
    assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_the_unrolled_sum_is_what_it_says_it_is():
    x, y = torch.rand(2, 3), torch.rand(2, 3, 3)
    (total,) = naive_ubersum("ai,abi->", x, y, plates="i", backend="torch")
    assert_close(total, torch.einsum("ai,abi->i", x, y).prod())
    (second,) = naive_ubersum("ai,abi->bi", x, y, plates="i", backend="torch")
    slices = torch.einsum("ai,abi->bi", x, y)
    assert_close(second[:, 0], slices[:, 0] * slices[:, 1].sum() * slices[:, 2].sum())
    (shared,) = naive_ubersum("ai,a->a", x, x[:, 0], plates="i", backend="torch")
    assert_close(shared, x.prod(1) * x[:, 0])


@pytest.mark.parametrize("equation", EQUATIONS)
def test_modulo_total_leaves_out_a_constant_of_each_plate_slice(equation):
    tensors = operands(equation)
    want = einsum(equation, *tensors, plates="ijk", backend=LOG)
    got = einsum(equation, *tensors, plates="ijk", backend=LOG, modulo_total=True)
    for dims, x, y in zip(equation.split("->")[1].split(","), got, want, strict=True):
        variables = [i for i, symbol in enumerate(dims) if symbol not in "ijk"]
        if variables:
            gap = (
                (x - y)
                .movedim(variables, list(range(len(variables))))
                .flatten(0, len(variables) - 1)
            )
            assert_close(gap, gap[:1].expand_as(gap))


def test_ubersum_works_with_logarithms_and_takes_the_old_name_of_plates():
    x = torch.randn(2, 3)
    want = einsum("ai->", x, plates="i", backend=LOG)
    assert_close(ubersum("ai->", x, plates="i"), want)
    with pytest.warns(DeprecationWarning, match="plates"):
        assert_close(ubersum("ai->", x, batch_dims="i"), want)


@pytest.mark.parametrize("equation", ["ai,bj,abij->", "ai,abij,bj,ij->ai"])
def test_an_exponential_sum_is_refused_with_its_variables(equation):
    with pytest.raises(IntractableError, match=r"\['a', 'b'\].*\['i', 'j'\]") as error:
        einsum(equation, *operands(equation), plates="ijk")
    assert isinstance(error.value, NotImplementedError)


@pytest.mark.parametrize(
    "equation, shapes, message",
    [
        ("ai->a", [(2, 3)], "variable 'a' is in the plates"),
        ("a,a->", [(2,), (3,)], "'a' has size 2 .* and 3"),
        ("a->b", [(2,)], r"unknown: \['b'\]"),
        ("aa->a", [(2, 2)], "each symbol once"),
        ("ab->a", [(2,)], r"shapes \[\(2,\)\]"),
    ],
)
def test_a_wrong_equation_is_refused(equation, shapes, message):
    with pytest.raises(ShapeError, match=message):
        einsum(equation, *map(torch.ones, shapes), plates="i")


@pytest.mark.parametrize("equation", EQUATIONS)
def test_marginals_are_gradients_of_the_log_partition_function(equation):
    tensors = [x.requires_grad_() for x in operands(equation)]
    inputs = equation.split("->")[0]
    (total,) = einsum(f"{inputs}->", *tensors, plates="ijk", backend=LOG)
    gradients = torch.autograd.grad(total, tensors)
    for term, want in zip(inputs.split(","), gradients, strict=True):
        (marginal,) = einsum(f"{inputs}->{term}", *tensors, plates="ijk", backend=LOG)
        assert_close((marginal - total).exp(), want)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_backward_pass_of_the_marginal_backend_is_every_marginal(equation):
    tensors = operands(equation)
    inputs = equation.split("->")[0]
    for tensor in tensors:
        require_backward(tensor)
    (total,) = einsum(f"{inputs}->", *tensors, plates="ijk", backend=MARGINAL)
    total._pyro_backward()
    for term, tensor in zip(inputs.split(","), tensors, strict=True):
        (marginal,) = einsum(f"{inputs}->{term}", *tensors, plates="ijk", backend=LOG)
        assert_close(tensor._pyro_backward_result, marginal)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_assignment_of_the_map_ring_has_the_largest_product(equation):
    tensors = operands(equation)
    ring, inputs = MapRing(), equation.split("->")[0].split(",")
    variables = set("".join(inputs)) - set("ijk")
    best = contract_to_tensor(tree_of(equation, tensors), variables, ring=ring)
    indices, value = ring.assignment(), 0.0
    assert indices.keys() == variables
    for dims, tensor in zip(inputs, tensors, strict=True):
        plates = "".join(dim for dim in dims if dim in "ijk")
        one_hot = [
            torch.nn.functional.one_hot(align(indices[dim], plates), SIZES[dim]).double()
            for dim in dims
            if dim not in "ijk"
        ]
        for variable, mask in zip([d for d in dims if d not in "ijk"], one_hot, strict=True):
            tensor = tensor.where(align(with_dims(mask, plates + variable), dims) == 1, 0.0)
        value = value + tensor.sum()
    assert_close(best, value)


def test_samples_follow_the_exact_joint_distribution():
    equation, num_draws = "ab,bi,aij,cij->", 20_000
    tensors = [x.float() for x in operands("ab,bi,aij,cij->", seed=1)]
    torch.manual_seed(0)
    ring = SampleRing(dim_to_size={"k": num_draws})
    copies = [x.expand(num_draws, *x.shape) for x in tensors]  # k is no plate: independent copies
    tree = tree_of("kab,kbi,kaij,kcij->", copies, plates="ij")
    contract_to_tensor(tree, set("abc"), ring=ring)
    indices = ring.assignment()
    pairs = align(indices["a"], "k") * SIZES["b"] + align(indices["b"], "k")
    (log_joint,) = einsum("ab,bi,aij,cij->ab", *tensors, plates="ij", backend=LOG)
    expected = log_joint.flatten().softmax(0) * num_draws
    counts = torch.bincount(pairs, minlength=6)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 36.0  # 5 degrees of freedom: a false alarm in 1e6 seeds
    (log_last,) = einsum(f"{equation}cij", *tensors, plates="ij", backend=LOG)
    frequency = align(indices["c"], "kij").double().mean(0)  # of c = 1
    probability = log_last.softmax(0)[1]
    error = (probability * (1 - probability) / num_draws).sqrt()
    assert ((frequency - probability) / error).abs().max() < 5.5  # 6 numbers: 2e-7


def test_the_backward_pass_of_the_sample_backend_gives_each_operand_its_indices():
    x, y = torch.eye(3).log(), torch.tensor([0.0, -math.inf, -math.inf])
    require_backward(x)
    (total,) = einsum("ab,b->", x, y, backend=SAMPLE)
    total._pyro_backward()
    assert x._pyro_backward_result.tolist() == [0, 0]
    assert x._pyro_backward_result._pyro_sample_dims == "ab"
    assert not hasattr(y, "_pyro_backward_result")


def test_the_assignment_of_a_plated_variable_has_the_shape_of_its_plates():
    x = torch.tensor([[0.0, 3.0, 1.0], [1.0, 2.0, 2.0]])
    require_backward(x)
    (total,) = einsum("ai->", x, plates="i", backend=MAP)
    total._pyro_backward()
    assert x._pyro_backward_result.tolist() == [[1, 0, 1]]


def test_a_contracted_tree_keeps_the_plates_that_need_not_be_multiplied():
    tree = tree_of("a,ai,bi,j->", operands("a,ai,bi,j->"))
    result = contract_tensor_tree(tree, {"a", "b"})
    shapes = {"".join(k): [tuple(x.shape) for x in terms] for k, terms in result.items()}
    assert shapes == {"": [()], "i": [(2,)], "j": [(3,)]}
    total = sum(term.sum() for terms in result.values() for term in terms)
    assert_close(
        total, einsum("a,ai,bi,j->", *operands("a,ai,bi,j->"), plates="ij", backend=LOG)[0]
    )


def test_a_contracted_tree_leaves_other_dimensions_alone():
    tree = tree_of("a,ai,bi->", operands("a,ai,bi->"))
    result = contract_tensor_tree(tree, {"b"})
    dims = {"".join(k): [dims_of(x) for x in terms] for k, terms in result.items()}
    assert dims == {"": ["a"], "i": ["ai", "i"]}
    assert result[frozenset()][0] is tree[frozenset()][0]


@pytest.mark.parametrize("ring", [LogRing, LinearRing])
@pytest.mark.parametrize("ordinal, dims", [("", ""), ("", "a"), ("i", ""), ("i", "b")])
def test_a_factor_that_does_not_vary_along_its_plate_counts_once_for_each_slice(
    ordinal, dims, ring
):
    prior, x, y = (x.exp() for x in operands("a,a,abi->"))
    wide, narrow = named(x[:, None].expand(2, 2), "ai"), named(x, "a")
    results = []
    for factor in (wide, narrow):
        tree = {frozenset(): [named(prior, "a")], frozenset("i"): [factor, named(y, "abi")]}
        tensor = contract_to_tensor(tree, {"a", "b"}, frozenset(ordinal), set(dims), ring=ring())
        results.append(align(tensor, dims + ordinal))
    assert_close(results[1], results[0])


def test_impossible_values_leave_other_values_and_all_gradients_finite():
    x = torch.tensor([[0.0, -math.inf, 1.0], [-math.inf, -math.inf, 2.0]], requires_grad=True)
    prior = torch.tensor([0.3, 0.7]).log().requires_grad_()
    result = einsum("a,ai->,ai,i", prior, x, plates="i", backend=LOG)
    want = naive_ubersum("a,ai->,ai,i", prior.detach(), x.detach(), plates="i")
    assert_close(tuple(r.detach() for r in result), want)
    (gradient,) = torch.autograd.grad(sum(r.exp().sum() for r in result), x)
    assert gradient.isfinite().all()


def test_a_zero_slice_has_a_marginal_without_division_by_zero():
    x = torch.tensor([[0.5, 0.0, 1.0], [0.2, 0.6, 0.3]])  # the second slice rules out a = 0
    factors = torch.ones(2), x, torch.ones(2, 3, 3)
    got = einsum("a,ai,abi->bi", *factors, plates="i")
    want = naive_ubersum("a,ai,abi->bi", *factors, plates="i", backend="torch")
    assert_close(got, want)


@pytest.mark.parametrize("equation", EQUATIONS[-6:])
def test_contractions_record_and_replay_and_run_under_vmap(equation):
    first, second = operands(equation), operands(equation, seed=1)

    def run(*tensors):
        results = einsum(equation, *tensors, plates="ijk", backend=LOG)
        return results, torch.func.grad(
            lambda *xs: einsum(equation, *xs, plates="ijk", backend=LOG)[0].exp().sum()
        )(*tensors)

    assert_close(make_fx(run)(*first)(*second), run(*second))
    batch = [torch.stack(pair) for pair in zip(first, second, strict=True)]
    stacked, _ = torch.func.vmap(run)(*batch)
    assert_close([x[1] for x in stacked], list(run(*second)[0]))


def test_assignments_record_and_run_under_vmap():
    def best(x, y):
        ring = MapRing()
        tree = {frozenset(): [named(x, "a")], frozenset("i"): [named(y, "ai")]}
        contract_tensor_tree(tree, {"a"}, ring=ring)
        return ring.assignment()["a"]

    first, second = operands("a,ai->"), operands("a,ai->", seed=3)
    want = best(*second)
    assert_close(make_fx(best)(*first)(*second), want)
    batch = [torch.stack(pair) for pair in zip(first, second, strict=True)]
    assert_close(torch.func.vmap(best)(*batch)[1], want)


def test_a_shared_cache_saves_the_work_of_equal_contractions(monkeypatch):
    calls = []
    contract = LogRing.einsum

    def counted(ring, *args):
        calls.append(args)
        return contract(ring, *args)

    monkeypatch.setattr(LogRing, "einsum", counted)
    tree, cache = tree_of("a,ai,bi->", operands("a,ai,bi->")), {}
    for ordinal, dims in [(None, None), (frozenset("i"), {"b"})]:
        first = contract_to_tensor(tree, {"a", "b"}, ordinal, dims, cache=cache)
        work = len(calls)
        again = contract_to_tensor(tree, {"a", "b"}, ordinal, dims, cache=cache)
        assert len(calls) == work > 0
        assert_close(again, first)


def test_a_long_chain_equals_the_forward_algorithm():
    steps, states = 200, 4
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(steps, states, states, generator=generator, dtype=torch.float64)
    symbols = [chr(0x4E00 + t) for t in range(steps + 1)]
    chain = [with_dims(f, symbols[t] + symbols[t + 1]) for t, f in enumerate(factors)]
    got = contract_to_tensor({frozenset(): chain}, set(symbols))
    message = factors.new_zeros(states)
    for factor in factors:
        message = (message[:, None] + factor).logsumexp(0)
    assert_close(got, message.logsumexp(0))
