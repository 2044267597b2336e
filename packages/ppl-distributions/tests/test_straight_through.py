"""Discrete draws with the gradients and densities of relaxed ones."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import (
    RelaxedBernoulli,
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
)

FAMILIES = [
    (RelaxedBernoulliStraightThrough, RelaxedBernoulli),
    (RelaxedOneHotCategoricalStraightThrough, RelaxedOneHotCategorical),
]
TEMPERATURE = torch.tensor(0.5)


def draw(family, logits):
    torch.manual_seed(0)
    return family(TEMPERATURE, logits=logits).rsample((6,))


@pytest.mark.parametrize("discrete, relaxed", FAMILIES)
def test_a_draw_is_rounded_and_has_the_gradient_of_the_relaxed_draw(discrete, relaxed):
    logits = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
    hard, soft = draw(discrete, logits), draw(relaxed, logits)
    assert set(hard.flatten().tolist()) <= {0.0, 1.0}
    assert ((hard - soft).abs() <= 1).all() and (hard != soft).any()
    weight = torch.linspace(0, 1, 18).reshape(6, 3)
    (got,) = torch.autograd.grad((weight * hard).sum(), logits)
    (want,) = torch.autograd.grad((weight * soft).sum(), logits)
    assert_close(got, want)


@pytest.mark.parametrize("discrete, relaxed", FAMILIES)
def test_a_draw_is_scored_by_the_relaxed_value_behind_it(discrete, relaxed):
    logits = torch.tensor([0.3, -0.2, 1.0])
    hard, soft = draw(discrete, logits), draw(relaxed, logits)
    got = discrete(TEMPERATURE, logits=logits).log_prob(hard)
    assert_close(got, relaxed(TEMPERATURE, logits=logits).log_prob(soft))


def test_one_hot_draws_pick_the_largest_entry():
    logits = torch.tensor([0.3, -0.2, 1.0])
    hard = draw(RelaxedOneHotCategoricalStraightThrough, logits)
    soft = draw(RelaxedOneHotCategorical, logits)
    assert (hard.sum(-1) == 1).all() and (hard.argmax(-1) == soft.argmax(-1)).all()
