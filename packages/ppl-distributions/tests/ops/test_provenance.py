"""What a result was computed from."""

import pytest
import torch
from torch.testing import assert_close

from ppl.ops.provenance import (
    detach_provenance,
    extract_provenance,
    get_provenance,
    track_provenance,
)


def tracked(*names):
    return [track_provenance(torch.randn(3), frozenset(name)) for name in names]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,
        lambda x, y: torch.stack([x, y]),
        lambda x, y: torch.where(x > 0, 1.0, y),
        lambda x, y: (x + 0).mul_(y),
        lambda x, y: torch.einsum("i,i->", x, y),
        lambda x, y: torch.distributions.Normal(x, 1.0).log_prob(y),
    ],
)
def test_a_result_depends_on_all_that_it_was_computed_from(function):
    x, y = tracked("x", "y")
    result = function(x, y)
    assert get_provenance(result) == {"x", "y"}
    assert get_provenance(function(x, torch.ones(3))) == {"x"}


def test_each_part_of_a_result_depends_on_all_arguments():
    (x,) = tracked("x")
    values, indices = x.max(0)
    assert get_provenance(values) == get_provenance(indices) == {"x"}


def test_marking_twice_adds_up_and_structures_are_marked_inside():
    (x,) = tracked("x")
    both = track_provenance({"a": [x, 1], "b": torch.zeros(())}, frozenset("y"))
    assert get_provenance(both["a"]) == {"x", "y"}
    assert get_provenance(both["b"]) == {"y"}
    assert both["a"][1] == 1


def test_detaching_gives_plain_tensors_with_the_same_values():
    (x,) = tracked("x")
    plain = detach_provenance([x, 2])
    assert type(plain[0]) is torch.Tensor and not get_provenance(plain)
    assert_close(plain[0] + 0, detach_provenance(x + 0))


def test_gradients_flow_through_a_tracked_tensor():
    x = torch.ones(3, requires_grad=True)
    track_provenance(x, frozenset("x")).pow(2).sum().backward()
    assert_close(x.grad, torch.full((3,), 2.0))


def test_the_text_of_a_tensor_names_its_provenance():
    assert "'x'" in repr(track_provenance(torch.zeros(()), frozenset("x")))


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, lambda x: {"key": next(iter(x))}])
def test_every_container_keeps_the_provenance_of_its_tensors(kind):
    tracked = track_provenance([kind([torch.zeros(2)])], frozenset({"a"}))
    assert get_provenance(tracked) == {"a"}
    plain, provenance = extract_provenance(tracked)
    assert provenance == {"a"} and get_provenance(plain) == frozenset()
    assert type(plain[0]) is type(tracked[0])
