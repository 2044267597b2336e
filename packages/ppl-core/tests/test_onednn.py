"""Large products by oneDNN: those of torch, whoever makes them."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from ppl.engine import onednn, record
from ppl.engine.cpp_library import find_compiler
from ppl.engine.inductor import compile_program
from ppl.engine.replay import Replay
from ppl.engine.replay_notes import ONEDNN

pytestmark = [
    pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler"),
    pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN"),
]


@pytest.fixture(autouse=True)
def _is_faster(monkeypatch):
    monkeypatch.setattr(onednn, "_is_faster_here", lambda: True)


def network(x, first, bias, second):
    hidden = (x @ first + bias).tanh()
    return (hidden @ second).square().sum()


def test_a_network_and_its_gradient_are_the_same_by_oneDNN_and_in_cpp():
    torch.manual_seed(0)
    inputs = [
        torch.randn(96, 200),
        torch.randn(200, 120) / 14,
        torch.randn(120),
        torch.randn(120, 150) / 11,
    ]
    gradients = torch.func.grad_and_value(network, argnums=(1, 2, 3))

    def flat(*xs):
        found, value = gradients(*xs)
        return [*found, value]

    program = record(flat, *inputs)
    compiled = compile_program(program, inputs)
    assert_close(list(compiled(*inputs)), list(program(*inputs)), rtol=1e-4, atol=1e-4)
    replay = Replay(compiled, inputs)
    assert [c.kind for c in replay._kept[0].calls].count(ONEDNN) >= 4
    for _ in range(2):
        inputs = [x + 0.1 for x in inputs]
        assert all(map(torch.equal, replay(*inputs), compiled(*inputs)))


def test_oneDNN_helps_large_float32_products_alone():
    out, a, b = torch.empty(200, 200), torch.ones(200, 200), torch.ones(200, 200)
    assert onednn.helps(a, b, out)
    assert not onednn.helps(a.double(), b.double(), out.double())
    assert not onednn.helps(a[:9, :9], b[:9, :9], out[:9, :9])
    assert not onednn.helps(a, b, out.mT[:, :].as_strided((200, 200), (1, 200)))
    assert not onednn.helps(torch.ones(10**7, 1), torch.ones(1, 1), torch.empty(10**7, 1))


def test_only_a_row_is_a_bias():
    row = torch.arange(4.0)
    assert torch.equal(onednn.bias_of(row, 4), row)
    assert torch.equal(onednn.bias_of(row.expand(3, 4), 4), row)
    assert onednn.bias_of(torch.ones(3, 4), 4) is None
    assert onednn.bias_of(torch.ones(3, 1), 4) is None
