"""Helpers for authors of distributions."""

import gc
import weakref

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import transforms, util
from ppl.distributions.util import copy_docs_from, deep_to, detach, weakmethod


def test_detach_reaches_every_tensor_and_leaves_the_original_alone():
    loc = torch.zeros(3, requires_grad=True)
    transform = transforms.AffineTransform(loc, 2.0)
    d = dist.TransformedDistribution(dist.Normal(loc, 1.0), [transform])
    assert d().requires_grad and not detach(d)().requires_grad and d().requires_grad
    assert not detach(loc).requires_grad


def test_deep_to_moves_nested_distributions():
    d = deep_to(dist.Normal(torch.zeros(3), 1.0).to_event(1).mask(True), torch.float64)
    assert d.sample().dtype == torch.float64
    assert deep_to(torch.nn.Linear(1, 1), torch.float64).weight.dtype == torch.float64
    assert_close(deep_to({"a": [torch.ones(1)]}, torch.float64)["a"][0], torch.ones(1).double())


def test_a_weak_method_does_not_keep_its_object_alive():
    class Holder:
        @weakmethod
        def twice(self, x):
            return None if self is None else 2 * x

    holder = Holder()
    bound, alive = holder.twice, weakref.ref(holder)
    assert bound(2) == 4 and Holder.twice(holder, 3) == 6
    del holder
    gc.collect()
    assert alive() is None and bound(2) is None


def test_documentation_is_copied_where_missing():
    class Source:
        def shared(self):
            """Return what is shared."""

    def twin():
        class Target:
            def shared(self):
                return 1

        return Target

    assert copy_docs_from(Source, full_text=True)(twin()).shared.__doc__ == "Return what is shared."
    assert "Source.shared" in copy_docs_from(Source)(twin()).shared.__doc__


class WithPlainTensors(torch.nn.Module):
    """A module that keeps tensors beside its parameters."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.constant = torch.zeros(1)
        self.held = [dist.Normal(torch.zeros(2), 1.0), {"x": torch.ones(1)}]
        self.shared = [self.layer.weight]


def test_modules_move_with_their_plain_attributes():
    module = WithPlainTensors()
    moved = util.deep_to(module, dtype=torch.float64)
    assert moved.layer.weight.dtype == moved.constant.dtype == torch.float64
    assert moved.held[0].loc.dtype == moved.held[1]["x"].dtype == torch.float64
    assert moved.shared[0] is moved.layer.weight
    assert module.constant.dtype == module.held[0].loc.dtype == torch.float32


@pytest.mark.parametrize(
    "dim,shape", [(float("inf"), ()), (5, ()), (2, (2,)), (-1, (2,)), (0, None)]
)
def test_sums_take_at_most_all_dimensions(dim, shape):
    x = torch.ones(2, 3, 4)
    assert util.sum_rightmost(x, dim).shape == (x.shape if shape is None else shape)
    mirrored = x.permute(2, 1, 0)
    assert util.sum_leftmost(mirrored, dim).sum() == 24
    assert util.sum_leftmost(mirrored, dim).dim() == util.sum_rightmost(x, dim).dim()
