"""Seeds: one number fixes every generator."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import ppl.poutine as poutine
from ppl.poutine.runtime import stack
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


# the handler


@pytest.mark.parametrize("form", ["context", "wrapper"])
def test_the_seed_handler_fixes_every_generator_and_leaves_them_as_they_were(form):
    before = get_rng_state()
    drawn = [run_seeded(form, draw, 7) for _ in range(2)]
    after = get_rng_state()
    set_rng_seed(7)
    assert drawn == [draw()] * 2
    assert torch.equal(before["torch"], after["torch"])
    assert before["random"] == after["random"]
    assert np.array_equal(before["numpy"][1], after["numpy"][1])


def run_seeded(form, program, rng_seed):
    if form == "wrapper":
        return poutine.seed(program, rng_seed=rng_seed)()
    with poutine.seed(rng_seed=rng_seed):
        return program()


@pytest.mark.parametrize("form", ["context", "wrapper"])
def test_the_seed_handler_restores_after_an_exception(form):
    def fail():
        draw()
        raise ZeroDivisionError

    set_rng_seed(1)
    expected = draw()
    set_rng_seed(1)
    with pytest.raises(ZeroDivisionError):
        run_seeded(form, fail, 7)
    assert draw() == expected


def test_a_seed_that_is_no_seed_changes_nothing():
    set_rng_seed(1)
    expected = draw()
    set_rng_seed(1)
    with pytest.raises((ValueError, RuntimeError), match="verflow"):
        run_seeded("context", draw, 2**70)
    assert draw() == expected
    assert stack() == ()


def test_seeds_nest_and_the_outer_one_goes_on_where_it_was():
    @poutine.seed(rng_seed=1)
    def twice(between):
        first = draw()
        between()
        return first, draw()

    assert twice(lambda: run_seeded("context", draw, 2)) == twice(lambda: None)


def test_another_thread_leaves_numpy_and_python_alone():
    def run():
        with poutine.seed(rng_seed=7):
            return draw()

    set_rng_seed(1)
    expected = draw()
    set_rng_seed(1)
    with ThreadPoolExecutor(1) as pool:
        numbers, *of_the_process = pool.submit(run).result()
    assert of_the_process == list(expected[1:])
    assert torch.rand(2).tolist() == expected[0]
    set_rng_seed(7)
    assert torch.rand(2).tolist() == numbers


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_state_includes_the_generators_of_cuda():
    torch.rand(1, device="cuda")
    state = get_rng_state()
    first = torch.rand(2, device="cuda")
    set_rng_state(state)
    assert torch.equal(torch.rand(2, device="cuda"), first)
