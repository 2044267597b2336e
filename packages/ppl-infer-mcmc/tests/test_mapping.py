"""Many draws are mapped as one would be, in whatever way that is done."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from ppl.infer.mcmc.target import mapping
from ppl.infer.mcmc.target.mapping import map_draws

from .targets import generator


def plain(z):
    return {"a": z.exp(), "b": torch.linalg.cholesky(torch.eye(2) + z[0] ** 2)[1]}


def wasteful(z):
    (z[:, None] * torch.ones(1000)).exp()
    return {"a": z**2}


def branching(z):
    return {"a": z if z[0] > 0 else -z}


def stateful(calls=[]):  # noqa: B006  the state is the point
    calls.append(None)
    return float(len(calls))


def looping(z):
    return {f"x_{i}": (z[i % 3] * i).tanh().sin() + 1 for i in range(200)}


WAYS = [mapping._replay, mapping._run_together]
POSITIONS = torch.randn(1000, 3, generator=generator(0))


@pytest.mark.parametrize("way", [*WAYS, map_draws])
@pytest.mark.parametrize("fn", [plain, wasteful])
def test_every_way_gives_the_values_of_single_draws(fn, way):
    rows = [fn(z) for z in POSITIONS]
    for name, values in way(fn, POSITIONS).items():
        assert_close(values, torch.stack([row[name] for row in rows]))


@pytest.mark.parametrize("num_draws", [1, 1000, mapping.FEW_DRAWS + 1])
def test_a_function_that_branches_on_values_runs_draw_by_draw(num_draws):
    positions = torch.randn(num_draws, 3, generator=generator(1))
    sign = torch.where(positions[:, :1] > 0, 1.0, -1.0)
    assert_close(map_draws(branching, positions)["a"], sign * positions)


def test_what_the_results_do_not_need_is_left_out_of_the_recording():
    program = mapping._without_dead_code(mapping.record(wasteful, POSITIONS[0]))
    assert mapping._bytes_of(program) == 2 * 3 * 4  # the position and its square


def test_the_batches_of_a_recording_are_bounded_in_memory(monkeypatch):
    sizes = []
    monkeypatch.setattr(mapping, "BYTES_AT_ONCE", 2400)  # a hundred draws of 24 bytes
    vmap = torch.func.vmap

    def noting(program, chunk_size, **options):
        sizes.append(chunk_size)
        return vmap(program, chunk_size=chunk_size, **options)

    monkeypatch.setattr(torch.func, "vmap", noting)
    assert_close(mapping._replay(wasteful, POSITIONS)["a"], POSITIONS**2)
    assert sizes == [100]


def test_a_recording_that_does_not_repeat_the_function_is_not_used():
    positions = torch.zeros(mapping.FEW_DRAWS + 1, 1)
    with pytest.raises(mapping.CaptureError):
        mapping._replay(lambda z: {"a": z + stateful()}, positions)


def test_a_failed_factorization_is_nan_for_its_draw_only():
    def fragile(z):
        return {"root": torch.linalg.cholesky(z[0] * torch.eye(2))}

    positions = torch.ones(mapping.FEW_DRAWS + 1, 1)
    positions[7] = -1.0
    bad = map_draws(fragile, positions)["root"].isnan().any(-1).any(-1)
    assert bad.nonzero().flatten().tolist() == [7]


def through_numpy(z):
    return {"a": torch.as_tensor(float(z.detach().numpy()[0] > 0))}


def through_a_list(z):
    return {"a": torch.tensor([1.0 if x > 0 else 0.0 for x in z.tolist()])[0]}


@pytest.mark.parametrize("fn", [through_numpy, through_a_list])
@pytest.mark.parametrize("num_draws", [10, mapping.FEW_DRAWS + 1])
def test_values_that_python_computes_are_those_of_each_draw(fn, num_draws):
    positions = torch.randn(num_draws, 2, generator=generator(2))
    assert_close(map_draws(fn, positions)["a"], (positions[:, 0] > 0).float())


def test_a_recording_is_compared_at_several_draws():
    middle = torch.linspace(0, mapping.FEW_DRAWS, mapping.NUM_COMPARED).long()[3]
    positions = torch.zeros(mapping.FEW_DRAWS + 1, 1)
    positions[middle] = 1.0
    calls = []

    def changing(z):
        calls.append(None)
        return {"a": z * (1.0 if len(calls) < 3 else 2.0)}

    with pytest.raises(mapping.CaptureError):
        mapping._replay(changing, positions)


def test_a_function_with_a_long_loop_runs_with_its_loop_batched():
    calls = []

    def counted(z):
        calls.append(None)
        return looping(z)

    found = map_draws(counted, POSITIONS)
    assert len(calls) == 1 + mapping.NUM_COMPARED_LONG
    expected = torch.func.vmap(looping)(POSITIONS)
    assert list(found) == list(expected)
    assert_close(found, expected)
