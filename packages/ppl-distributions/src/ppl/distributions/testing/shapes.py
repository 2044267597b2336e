"""Laws of shapes, types, wrappers and copies."""

from __future__ import annotations

import copy
import pickle

import torch
from torch.testing import assert_close

from ppl.validation import validation_enabled

from .case import Case

SAMPLE_SHAPES = ((), (5,), (4, 2))


def samples_and_scores_have_the_right_shapes(case: Case) -> None:
    """Samples, scores and reparameterized samples have the shapes their arguments announce."""
    dist = case.dist()
    for shape in SAMPLE_SHAPES:
        full = torch.Size(shape) + dist.batch_shape + dist.event_shape
        value = dist.sample(shape)
        assert value.shape == dist(shape).shape == dist.shape(shape) == full
        assert dist.log_prob(value).shape == torch.Size(shape) + dist.batch_shape
        if dist.has_rsample:
            assert dist.rsample(shape).shape == full


def expansion_keeps_type_and_density(case: Case) -> None:
    """Expansion adds independent copies and keeps type and density."""
    dist = case.dist()
    value = dist.sample()
    batch_shape = (4, 3) + dist.batch_shape
    for wide in (
        dist.expand(batch_shape),
        dist.expand_by((4, 3)),
        dist.expand_by((3,)).expand_by((4,)),
    ):
        assert wide.batch_shape == batch_shape and wide.event_shape == dist.event_shape
        assert wide.sample((2,)).shape == (2,) + wide.batch_shape + wide.event_shape
        assert_close(wide.log_prob(value), dist.log_prob(value).expand(batch_shape))
    assert type(dist.expand(batch_shape)) is type(dist)


def events_sum_and_masks_hide(case: Case) -> None:
    """``to_event`` sums log densities, ``mask`` replaces them by zero."""
    dist = case.dist()
    value = dist.sample((3,))
    log_prob = dist.log_prob(value)
    assert_close(dist.to_event().log_prob(value), log_prob.flatten(1).sum(1))
    mask = torch.arange(dist.batch_shape.numel()).reshape(dist.batch_shape) % 2 == 0
    assert_close(
        dist.mask(mask).log_prob(value), torch.where(mask, log_prob, torch.zeros_like(log_prob))
    )
    assert (dist.mask(False).log_prob(value) == 0).all()


def hidden_values_leak_no_nan(case: Case) -> None:
    """A hidden value, bad or at the end of the support, reaches neither density nor gradient."""
    params = {name: p.requires_grad_() for name, p in case.parameters().items()}
    with validation_enabled(False):
        dist = case.make(**params)
        mask = torch.arange(dist.batch_shape.numel()).reshape(dist.batch_shape) % 2 == 0
        hidden = ~mask.reshape(mask.shape + (1,) * dist.event_dim)
        draw = dist.sample()
        for bad in (torch.nan, torch.inf, -1.0, 0.0) if draw.is_floating_point() else ():
            log_prob = dist.mask(mask).log_prob(draw.masked_fill(hidden, bad))
            total = log_prob.sum() + 0 * sum(p.sum() for p in params.values())
            gradients = torch.autograd.grad(total, list(params.values()), retain_graph=True)
            assert log_prob.isfinite().all()
            assert all(gradient.isfinite().all() for gradient in gradients)


def device_is_kept(case: Case) -> None:
    """The density creates no tensor on another device; the meta device stands in for any."""
    with validation_enabled(False):
        value = case.dist().sample().to("meta")
        dist = case.make(**{name: p.to("meta") for name, p in case.parameters().items()})
        assert dist.log_prob(value).device.type == "meta"
        mask = torch.ones(dist.batch_shape, dtype=torch.bool, device="meta")
        assert dist.mask(mask).log_prob(value).device.type == "meta"


def copies_and_pickles_are_equal(case: Case) -> None:
    """Copies and pickles have the same type, shape and density."""
    dist = case.dist()
    value = dist.sample()
    for twin in (pickle.loads(pickle.dumps(dist)), copy.copy(dist), copy.deepcopy(dist)):
        assert type(twin) is type(dist) and twin.batch_shape == dist.batch_shape
        assert_close(twin.log_prob(value), dist.log_prob(value))


def draws_lie_in_the_support(case: Case) -> None:
    """Draws pass the check of the support, and validation accepts them."""
    torch.manual_seed(0)
    with validation_enabled():
        dist = case.dist()
        value = dist.sample((100,))
        assert dist.support.check(value).all()
        dist.log_prob(value)  # raises if it disagrees


def score_parts_say_how_draws_are_made(case: Case) -> None:
    """The score goes to the entropy term if reparameterized, else to the score function."""
    dist = case.dist()
    value = dist.sample()
    log_prob, score_function, entropy_term = dist.score_parts(value)
    full, zero = (
        (entropy_term, score_function) if dist.has_rsample else (score_function, entropy_term)
    )
    assert_close(log_prob, dist.log_prob(value))
    assert isinstance(full, torch.Tensor) and isinstance(zero, int | float) and zero == 0
    assert_close(full, log_prob)
