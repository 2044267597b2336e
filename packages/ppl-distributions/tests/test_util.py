"""Helpers for authors of distributions."""

import gc
import weakref

import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import transforms
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
