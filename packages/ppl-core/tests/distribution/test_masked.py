"""Laws of masks: what is hidden has density zero, is never evaluated and passes no gradient."""

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.distribution import (
    Delta,
    ExpandedDistribution,
    MaskedDistribution,
    ScoreParts,
    TorchDistribution,
    wrap,
)
from ppl.primitives import sample
from ppl.validation import validation_enabled

from .families import FAMILIES, Bernoulli, Gamma, Normal, every_family

MASK = torch.tensor([[True], [False], [True]])


class Untouchable(TorchDistribution):
    """Fails when anything is evaluated."""

    arg_constraints = {}

    def sample(self, sample_shape=torch.Size()):
        return torch.zeros(self.shape(sample_shape))

    def log_prob(self, value):
        raise AssertionError("a hidden density was evaluated")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_density_is_zero_where_the_mask_is_false_and_unchanged_elsewhere(family):
    base = every_family()[family]
    value = base.sample((4,))
    expected = torch.where(MASK, base.log_prob(value), torch.zeros(()).double())
    assert_close(base.mask(MASK).log_prob(value), expected)
    assert_close(base.mask(MASK).score_parts(value).log_prob, expected)
    assert_close(base.mask(True).log_prob(value), base.log_prob(value))
    assert (base.mask(False).log_prob(value) == 0).all()


@pytest.mark.parametrize("family", ["normal", "gamma", "dirichlet", "mvn", "ring"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1.0])
def test_a_hidden_value_passes_no_gradient_to_itself_or_to_parameters(family, bad):
    with validation_enabled(False):
        base = every_family()[family]
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        for name in base.arg_constraints:
            if name in base.__dict__:
                setattr(base, name, base.__dict__[name] + shift)
        hidden = ~MASK.reshape((3, 1) + (1,) * base.event_dim)
        value = base.sample().masked_fill(hidden, bad).requires_grad_()
        base.mask(MASK).log_prob(value).sum().backward()
        assert shift.grad is None or shift.grad.isfinite()
        assert value.grad.isfinite().all() and (value.grad[1] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hidden_value_is_not_validated(family):
    with validation_enabled():
        base = every_family()[family]
        value = base.sample().double()
        value[1] = torch.nan
        assert base.mask(MASK).log_prob(value)[1] == 0


def test_a_false_mask_evaluates_no_density_and_has_the_right_shape():
    d = Untouchable(torch.Size((3,)), torch.Size((2,)), validate_args=False)
    assert d.mask(False).log_prob(torch.zeros(5, 3, 2)).shape == (5, 3)
    flat = Normal(0.0, 1.0).expand([3]).to_event(1).mask(False)
    assert flat.log_prob(torch.full((3,), torch.inf)) == 0


def test_a_mask_broadcasts_the_batch_shape():
    d = Normal(0.0, 1.0).mask(torch.tensor([True, False]))
    assert isinstance(d, MaskedDistribution)
    assert d.batch_shape == (2,) and d.sample().shape == (2,) and d.mean.shape == (2,)
    assert d.log_prob(torch.tensor(0.0)).shape == (2,)


def test_masks_of_integers_mean_booleans():
    d = Normal(0.0, 1.0).mask(torch.tensor([1, 0]))
    assert_close(d.log_prob(torch.zeros(2)) == 0, torch.tensor([False, True]))


def test_masks_compose():
    d = Normal(torch.zeros(3), 1.0)
    a, b = torch.tensor([True, True, False]), torch.tensor([True, False, True])
    x = torch.randn(3)
    assert_close(d.mask(a).mask(b).log_prob(x), d.mask(a & b).log_prob(x))


@pytest.mark.parametrize("family", FAMILIES)
def test_score_parts_say_whether_the_distribution_is_reparameterized(family):
    d = every_family()[family]
    value = d.sample()
    log_prob, score_function, entropy_term = d.score_parts(value)
    assert_close(log_prob, d.log_prob(value))
    zero, full = (score_function, entropy_term) if d.has_rsample else (entropy_term, score_function)
    assert zero == 0
    assert_close(full, log_prob)


def test_scale_multiplies_densities_but_not_the_score_function():
    parts = ScoreParts(torch.tensor(2.0), torch.tensor(3.0), torch.tensor(5.0))
    assert parts.scale_and_mask(10.0) == (20.0, 3.0, 50.0)
    assert parts.scale_and_mask(mask=torch.tensor(False)) == (0.0, 3.0, 0.0)


def test_score_parts_follow_events_and_expansion():
    for d in (Bernoulli(torch.full((3, 2), 0.3)), Gamma(torch.ones(3, 2), 1.0)):
        value = d.sample()
        event = d.to_event(1).score_parts(value)
        expanded = ExpandedDistribution(d, (4, 3, 2)).score_parts(value)
        for part, of_event, of_expanded in zip(d.score_parts(value), event, expanded, strict=True):
            if isinstance(part, torch.Tensor):
                assert_close(of_event, part.sum(-1))
                assert_close(of_expanded, part.expand(4, 3, 2))
            else:
                assert part == of_event == of_expanded == 0


def test_delta_and_unit_can_be_masked():
    d = Delta(torch.zeros(2)).mask(torch.tensor([True, False]))
    assert_close(d.log_prob(torch.ones(2)), torch.tensor([-torch.inf, 0.0]))


# A mask says what counts in the density. That it must not touch the score function, which belongs
# to the draw, and that its shelter from bad values holds for handlers as for distributions, were
# the laws that nobody had asked for.

SOME = torch.tensor([True, False])


@pytest.mark.parametrize("mask", [SOME, True, False])
def test_a_hidden_draw_keeps_the_score_of_its_own_value(mask):
    p = torch.tensor([0.2, 0.2], requires_grad=True)
    parts = Bernoulli(p).mask(mask).score_parts(torch.ones(2))
    (gradient,) = torch.autograd.grad(parts.score_function.sum(), p)
    assert_close(gradient, torch.tensor([5.0, 5.0]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1.0])
def test_a_value_that_cannot_be_drawn_has_no_score(bad):
    rate = torch.tensor([2.0, 2.0], requires_grad=True)
    d = Gamma(torch.ones(2), rate, validate_args=False).has_rsample_(False).mask(SOME)
    score = d.score_parts(torch.tensor([1.0, bad])).score_function
    (gradient,) = torch.autograd.grad(score.sum(), rate)
    assert_close(gradient, torch.tensor([-0.5, 0.0]))  # 1 / rate - x


def test_a_bernoulli_guide_that_is_masked_out_has_an_unbiased_gradient():
    """The expected cost is linear in q, so the exact gradient is the difference of two costs."""
    q = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    gradient = torch.zeros((), dtype=torch.float64)
    for z in torch.tensor([0.0, 1.0], dtype=torch.float64):  # the expectation, value by value
        score = Bernoulli(q).mask(torch.tensor(False)).score_parts(z).score_function
        cost = -Normal(3 * z, 1.0).log_prob(torch.tensor(3.0))
        weight = Bernoulli(q).log_prob(z).exp().detach()
        gradient += weight * torch.autograd.grad(score * cost, q)[0]
    assert_close(gradient.float(), torch.tensor(-4.5))


@pytest.mark.parametrize("family", ["normal", "gamma", "dirichlet", "mvn", "ring"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1.0, 0.0])
@pytest.mark.parametrize("checked", [True, False])
def test_an_observation_hidden_by_a_handler_is_neither_validated_nor_differentiated(
    family, bad, checked
):
    with validation_enabled(checked):
        base = every_family()[family]
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        for name in base.arg_constraints:
            if name in base.__dict__:
                setattr(base, name, base.__dict__[name] + shift)
        hidden = ~MASK.reshape((3, 1) + (1,) * base.event_dim)
        value = base.sample().masked_fill(hidden, bad)
        with poutine.trace() as traced, poutine.mask(mask=MASK):
            sample("x", base, obs=value)
        total = traced.trace.log_prob_sum()
        assert_close(total, base.mask(MASK).log_prob(value).sum())
        assert torch.autograd.grad(total, shift)[0].isfinite()


def test_the_image_of_a_half_line_is_not_taken_for_the_real_line():
    base = torch.distributions.Exponential(torch.ones(2), validate_args=True)
    shifted = torch.distributions.transforms.AffineTransform(1.0, 2.0)
    d = wrap(torch.distributions.TransformedDistribution(base, shifted))
    assert_close(d.mask(SOME).log_prob(torch.tensor([3.0, torch.nan]))[1], torch.tensor(0.0))


def test_the_entropy_of_a_masked_or_expanded_distribution_is_that_of_its_parts():
    d = Gamma(torch.tensor([1.0, 2.0]), 1.0)
    assert_close(d.mask(SOME).entropy(), d.entropy() * SOME)
    assert_close(d.mask(False).entropy(), torch.zeros(2))
    assert_close(ExpandedDistribution(d, (3, 2)).entropy(), d.entropy().expand(3, 2))
