"""Packed tensors: one symbol for each dimension that matters."""

import pickle

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import ShapeError
from ppl.poutine.packing import pack, unpack
from ppl.primitives import plate, sample

from .distribution.families import Bernoulli, Normal

PARALLEL = {"enumerate": "parallel"}
SYMBOLS = {-1: "i", -2: "j", -3: "k"}
DIMS = {"i": -1, "j": -2, "k": -3}


@pytest.mark.parametrize("shape", [(), (2,), (1, 2), (2, 1), (4, 1, 2), (4, 3, 1), (1, 1, 1)])
def test_unpack_undoes_pack(shape):
    x = torch.randn(shape)
    packed = pack(x, SYMBOLS)
    assert 1 not in packed.shape
    assert len(packed._pyro_dims) == packed.dim()
    unpacked = unpack(packed, DIMS)
    assert_close(
        unpacked.expand(torch.broadcast_shapes(x.shape, unpacked.shape)),
        x.expand(torch.broadcast_shapes(x.shape, unpacked.shape)),
    )


def test_a_packed_tensor_can_be_unpacked_to_other_dims():
    x = torch.randn(4, 3)
    assert_close(unpack(pack(x, SYMBOLS), {"i": -3, "j": -1}), x.T[:, None, :])


def test_packing_leaves_its_argument_alone():
    x = torch.randn(2)
    pack(x, SYMBOLS)
    assert not hasattr(x, "_pyro_dims")


@pytest.mark.parametrize("value", [1.0, None, True])
def test_what_is_no_tensor_stays_as_it_is(value):
    assert pack(value, SYMBOLS) is unpack(value, DIMS) is value


def test_a_dim_without_a_symbol_is_refused():
    with pytest.raises(ShapeError, match=r"shape \(2, 1, 1, 1\) has dims \[-4\]"):
        pack(torch.randn(2, 1, 1, 1), SYMBOLS)


def test_two_symbols_cannot_have_one_dim():
    with pytest.raises(ShapeError, match="same dim"):
        unpack(pack(torch.randn(2, 3), SYMBOLS), {"i": -1, "j": -1})


# traces


def model():
    with plate("rows", 3, dim=-2):
        z = sample("z", Bernoulli(0.3), infer=PARALLEL)
        with (
            plate("columns", 4, subsample_size=2, dim=-1),
            poutine.mask(mask=torch.tensor([True, False])),
        ):
            sample("x", Normal(z, 1.0), obs=torch.zeros(3, 2))


def packed_trace(program=model, plate_to_symbol=None, score_parts=False):
    trace = poutine.trace(poutine.enum(program, first_available_dim=-3)).get_trace()
    trace.compute_log_prob()
    if score_parts:
        trace.compute_score_parts()
    trace.pack_tensors(plate_to_symbol)
    return trace


def test_a_packed_site_has_a_symbol_for_each_of_its_plates_and_variables():
    trace = packed_trace()
    rows, columns = (trace.plate_to_symbol[name] for name in ("rows", "columns"))
    z, x = (trace.nodes[name] for name in "zx")
    variable = z["infer"]["_dim_to_symbol"][-3]
    assert z["infer"]["_dim_to_symbol"] == {-2: rows, -3: variable}
    assert z["packed"]["log_prob"]._pyro_dims == variable + rows
    assert x["packed"]["log_prob"]._pyro_dims == variable + rows + columns
    assert x["packed"]["mask"]._pyro_dims == columns
    assert x["packed"]["scale"] == 2.0
    assert trace.symbol_to_dim == {rows: -2, columns: -1, variable: -3}


@pytest.mark.parametrize("key", ["log_prob", "unscaled_log_prob", "mask"])
def test_packed_tensors_are_those_of_the_trace(key):
    trace = packed_trace()
    for site in trace.nodes.values():
        if isinstance(site.get(key), torch.Tensor):
            unpacked = unpack(site["packed"][key], trace.symbol_to_dim)
            assert_close(unpacked.expand(site[key].shape), site[key])


def test_score_parts_are_packed_too():
    x = packed_trace(score_parts=True).nodes["x"]
    assert_close(x["packed"]["score_parts"].log_prob, x["packed"]["log_prob"])
    assert_close(x["packed"]["score_parts"].entropy_term, x["score_parts"].entropy_term.squeeze())


def test_plates_keep_the_symbols_they_have_in_another_trace():
    def other():
        with plate("new", 5, dim=-1), plate("rows", 3, dim=-2):
            sample("x", Normal(0.0, 1.0))

    first = packed_trace()
    second = packed_trace(other, first.plate_to_symbol)
    assert second.plate_to_symbol is first.plate_to_symbol
    assert list(first.plate_to_symbol) == ["rows", "columns", "new"]


def test_symbols_are_unique_however_many_there_are():
    def many():
        for i in range(60):
            with plate(f"plate {i}", 2, dim=-1):
                sample(f"x{i}", Bernoulli(0.5), infer={**PARALLEL, "expand": True})

    trace = packed_trace(lambda: [many() for _ in poutine.markov(range(1))])
    names = {
        site["packed"]["log_prob"]._pyro_dims for site in trace.nodes.values() if "packed" in site
    }
    symbols = set("".join(names))
    assert len(trace.symbol_to_dim) == 120
    assert symbols == set(trace.symbol_to_dim)


def test_the_marginal_of_a_chain_is_an_einsum_of_packed_tensors():
    transition, means = torch.tensor([0.2, 0.9]), torch.tensor([-1.0, 1.0])
    data = torch.tensor([0.3, -0.4, 1.2, 0.8])

    def hidden_markov():
        x = torch.tensor(0)
        for t in poutine.markov(range(len(data))):
            x = sample(f"x{t}", Bernoulli(transition[x]), infer=PARALLEL).long()
            sample(f"y{t}", Normal(means[x], 1.0), obs=data[t])

    packed = [
        s["packed"]["log_prob"] for s in packed_trace(hidden_markov).nodes.values() if "packed" in s
    ]
    equation = ",".join(table._pyro_dims for table in packed) + "->"
    total = torch.einsum(equation, *(table.exp() for table in packed))

    step = torch.stack([1 - transition, transition], -1)
    forward = torch.tensor([1.0, 0.0])  # the forward algorithm
    for y in data:
        forward = (forward @ step) * Normal(means, 1.0).log_prob(y).exp()
    assert_close(total, forward.sum())


def test_a_tensor_with_a_dim_of_no_plate_is_reported_with_its_site():
    trace = poutine.trace(lambda: sample("x", Normal(torch.zeros(3), 1.0))).get_trace()
    trace.compute_log_prob()
    with pytest.raises(
        ShapeError, match=r"(?s)site 'x'.*shape \(3,\) has dims \[-1\].*Trace Shapes"
    ):
        trace.pack_tensors()


def test_symbols_of_a_copy_stay_in_the_copy():
    trace = poutine.trace(model).get_trace()
    trace.copy().symbolize_dims()
    assert "_dim_to_symbol" not in trace.nodes["z"]["infer"]


@pytest.mark.parametrize(
    "copied",
    [
        lambda trace: pickle.loads(pickle.dumps(trace)),
        lambda trace: trace.copy(),
        lambda trace: poutine.util.prune_subsample_sites(trace),
    ],
    ids=["pickle", "copy", "prune_subsample_sites"],
)
def test_copies_of_a_trace_stay_packed(copied):
    trace = packed_trace()
    new = copied(trace)
    new.detach_()
    for name in "zx":
        old, site = trace.nodes[name], new.nodes[name]
        assert_close(site["packed"]["log_prob"], old["packed"]["log_prob"])
        assert site["packed"]["log_prob"]._pyro_dims == old["packed"]["log_prob"]._pyro_dims
        assert site["infer"] == old["infer"]
    assert new.plate_to_symbol == trace.plate_to_symbol
    assert new.symbol_to_dim == trace.symbol_to_dim
