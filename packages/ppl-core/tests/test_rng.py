"""Seeds: one number fixes every generator."""

import random

import numpy as np
import pytest
import torch

from ppl.util import get_rng_state, set_rng_seed, set_rng_state


def draw():
    return torch.rand(2).tolist(), random.random(), np.random.rand()


@pytest.mark.parametrize("seed", [0, 20, 2**40])
def test_a_seed_fixes_torch_numpy_and_python(seed):
    set_rng_seed(seed)
    first = draw()
    set_rng_seed(seed)
    assert draw() == first


def test_different_seeds_give_different_numbers():
    set_rng_seed(1)
    first = draw()
    set_rng_seed(2)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_a_state_resumes_where_it_was_taken():
    draw()
    state = get_rng_state()
    first = draw()
    draw()
    set_rng_state(state)
    assert draw() == first


def test_a_state_is_not_changed_by_later_draws():
    state = get_rng_state()
    first = draw()
    for _ in range(2):
        set_rng_state(state)
        assert draw() == first
