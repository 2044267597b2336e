"""Distributions and transforms that wait for a context."""

import torch
from torch.distributions.transforms import AffineTransform, ExpTransform
from torch.testing import assert_close

import ppl.distributions as dist

CONTEXT = torch.tensor([0.5, -2.0])


class Location(dist.ConditionalDistribution):
    def condition(self, context):
        return dist.Normal(context, 1.0)


class Shift(dist.ConditionalTransformModule):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(3.0))

    def condition(self, context):
        return AffineTransform(self.slope * context, 1.0)


class Scale(AffineTransform, torch.nn.Module):
    def __init__(self):
        torch.nn.Module.__init__(self)
        AffineTransform.__init__(self, 0.0, torch.nn.Parameter(torch.tensor(2.0)))

    __hash__ = torch.nn.Module.__hash__


def test_every_part_is_given_the_context():
    shift = Shift()
    d = dist.ConditionalTransformedDistribution(Location(), [shift, ExpTransform()])
    want = dist.LogNormal(4 * CONTEXT, 1.0)
    x = want.sample()
    log_prob = d.condition(CONTEXT).log_prob(x)
    assert_close(log_prob, want.log_prob(x))
    assert torch.autograd.grad(log_prob.sum(), shift.slope)[0] != 0


def test_parts_without_context_stay_what_they_are():
    d = dist.ConditionalTransformedDistribution(dist.Normal(0.0, 1.0), ExpTransform(cache_size=1))
    conditioned = d.condition(CONTEXT)
    assert isinstance(d.base_dist, dist.ConstantConditionalDistribution)
    assert isinstance(d.transforms[0], dist.ConstantConditionalTransform)
    x = torch.tensor([0.7])
    assert_close(conditioned.log_prob(x), dist.LogNormal(0.0, 1.0).log_prob(x))
    d.clear_cache()


def test_the_inverse_is_conditional_too_and_owns_the_parameters():
    shift = Shift()
    x = torch.randn(2)
    y = shift.condition(CONTEXT)(x)
    assert_close(shift.inv.condition(CONTEXT)(y), x)
    assert list(shift.inv.parameters()) == [shift.slope] and shift.inv.inv is shift


def test_composed_modules_own_the_parameters_of_their_parts():
    parts = [Scale(), Scale()]
    transform = dist.ComposeTransformModule(parts)
    x = torch.randn(3)
    assert_close(transform(x), 4 * x)
    assert_close(transform.inv(transform(x)), x)
    assert len(list(transform.modules())) == 3 and len(transform) == 2
    cached = transform.with_cache()
    assert isinstance(cached, dist.ComposeTransformModule) and cached._cache_size == 1
    assert transform.with_cache(0) is transform and len({transform, cached}) == 2
