"""A thread with a seed draws what it would draw alone, whatever draws."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

import ppl.poutine as poutine
from ppl.engine import record
from ppl.errors import SiteError
from ppl.generators import OwnGenerators, own_generators
from ppl.util import get_rng_state, set_rng_seed, set_rng_state
from ppl.validation import torch_flag_kept

HALF = torch.full((4, 3), 0.5)
DIFFERENT = {"randomness": "different"}

# every way of torch to draw on a CPU
DRAWS = {
    "randn": lambda: torch.randn(3, dtype=torch.float64),
    "rand": lambda: torch.rand(2, 3, device="cpu"),
    "randint": lambda: torch.randint(10, (4,)),
    "randint_low": lambda: torch.randint(5, 10, (4,)),
    "randperm": lambda: torch.randperm(9),
    "randn_like": lambda: torch.randn_like(HALF.T),
    "rand_like": lambda: torch.rand_like(HALF),
    "randint_like": lambda: torch.randint_like(HALF, 9),
    "normal": lambda: torch.normal(HALF, HALF),
    "normal_mean": lambda: torch.normal(HALF, 2.0),
    "normal_std": lambda: torch.normal(2.0, HALF),
    "normal_shape": lambda: torch.normal(1.0, 2.0, (3,)),
    "bernoulli": lambda: torch.bernoulli(HALF),
    "multinomial": lambda: torch.multinomial(HALF, 2),
    "poisson": lambda: torch.poisson(HALF),
    "binomial": lambda: torch.binomial(10 * HALF.ceil(), HALF),
    "gamma": lambda: torch._standard_gamma(HALF),
    "dirichlet": lambda: torch._sample_dirichlet(HALF),
    "normal_": lambda: torch.empty(3).normal_(),
    "uniform_": lambda: torch.empty(3).uniform_(2, 3),
    "exponential_": lambda: torch.empty(3).exponential_(),
    "cauchy_": lambda: torch.empty(3).cauchy_(),
    "log_normal_": lambda: torch.empty(3).log_normal_(),
    "geometric_": lambda: torch.empty(3).geometric_(0.3),
    "random_": lambda: torch.empty(3).random_(),
    "random_to": lambda: torch.empty(3).random_(7),
    "random_from": lambda: torch.empty(3).random_(7, 19),
    "bernoulli_": lambda: torch.empty(3).bernoulli_(0.3),
    "bernoulli_tensor": lambda: torch.empty(4, 3).bernoulli_(HALF),
    "dropout": lambda: functional.dropout(HALF, 0.5),
    "dropout_with_gradient": lambda: functional.dropout(HALF.clone().requires_grad_(), 0.5),
    "fused_dropout": lambda: torch.native_dropout(HALF, 0.5, True)[0],
    "alpha_dropout": lambda: functional.alpha_dropout(HALF, 0.5, training=True),
    "rrelu": lambda: functional.rrelu(-HALF, training=True),
    "gumbel_softmax": lambda: functional.gumbel_softmax(HALF),
    "linear": lambda: torch.nn.Linear(3, 2).weight,
    "vmap": lambda: torch.vmap(lambda x: torch.randn(2) + x, **DIFFERENT)(HALF[:, 0]),
    "vmap_of_bernoulli": lambda: torch.vmap(torch.bernoulli, **DIFFERENT)(HALF),
    "distribution": lambda: torch.distributions.StudentT(3.0).sample((2,)),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def in_a_thread(fn, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fn, *args).result()


def drawn(draw, seed):
    with poutine.seed(rng_seed=seed):
        return draw(), draw()


@every_draw
def test_a_thread_draws_what_the_main_thread_draws_and_leaves_the_process_alone(draw):
    expected = drawn(draw, 3)
    process = get_rng_state()
    got = in_a_thread(drawn, draw, 3)
    assert all(map(torch.equal, got, expected))
    assert torch.equal(get_rng_state()["torch"], process["torch"])
    assert get_rng_state()["random"] == process["random"]


@every_draw
def test_draws_go_on_rather_than_repeat(draw):
    first, second = in_a_thread(drawn, draw, 3)
    assert not torch.equal(first, second)


def all_draws(seed):
    with poutine.seed(rng_seed=seed):
        return [draw() for _ in range(5) for draw in DRAWS.values()]


def test_eight_threads_draw_side_by_side_what_each_draws_alone():
    expected = [all_draws(seed) for seed in range(8)]
    start = threading.Barrier(8)

    def run(seed):
        start.wait(10)
        return all_draws(seed)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(run, range(8)))
    for ours, alone in zip(got, expected, strict=True):
        assert all(map(torch.equal, ours, alone))


def test_a_generator_that_the_caller_chose_is_used():
    def draw():
        with OwnGenerators(0):
            chosen = torch.Generator().manual_seed(7)
            return torch.randn(3, generator=chosen), torch.poisson(HALF, chosen)

    chosen = torch.Generator().manual_seed(7)
    expected = torch.randn(3, generator=chosen), torch.poisson(HALF, chosen)
    assert all(map(torch.equal, draw(), expected))


def test_what_has_no_values_needs_no_generator():
    with OwnGenerators(0):
        assert torch.randn(3, device="meta").shape == (3,)
        assert torch.bernoulli(HALF.to("meta")).shape == HALF.shape


def cuda_draws():
    half = HALF.cuda()
    yield torch.randn(3, device="cuda")
    yield torch.randn_like(half)
    yield torch.bernoulli(half)
    yield torch.native_dropout(half, 0.5, True)[0]
    yield torch.nn.functional.dropout(half.clone().requires_grad_(), 0.5)
    yield torch.randn(3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_each_device_has_a_generator():
    def run(seed):
        with poutine.seed(rng_seed=seed):
            return [*cuda_draws(), *cuda_draws()]

    expected = run(3)
    process = torch.cuda.get_rng_state()
    assert all(map(torch.equal, in_a_thread(run, 3), expected))
    assert torch.equal(torch.cuda.get_rng_state(), process)


def test_states_and_seeds_are_those_of_the_thread():
    def run():
        process = torch.get_rng_state()
        with OwnGenerators(1):
            first = torch.randn(3)
            state = get_rng_state()
            second = torch.randn(3)
            set_rng_state(state)
            assert torch.equal(torch.randn(3), second)
            set_rng_seed(1)
            assert torch.equal(torch.randn(3), first)
        assert torch.equal(torch.get_rng_state(), process)

    in_a_thread(run)


def test_a_state_that_was_taken_before_a_device_was_drawn_from_forgets_its_draws():
    with OwnGenerators(1):
        state = get_rng_state()
        first = torch.randn(3)
        set_rng_state(state)
        assert torch.equal(torch.randn(3), first)


def test_a_state_is_restored_only_where_it_was_taken():
    process = get_rng_state()
    with OwnGenerators(1):
        state = get_rng_state()
        with pytest.raises(SiteError, match="restore it where it was taken"):
            set_rng_state(process)
    with pytest.raises(SiteError, match="restore it where it was taken"):
        set_rng_state(state)


def test_seeds_nest_in_a_thread_and_the_outer_one_goes_on_where_it_was():
    def run():
        with poutine.seed(rng_seed=1):
            first = torch.randn(3)
            with poutine.seed(rng_seed=2):
                torch.randn(3)
            return first, torch.randn(3)

    assert all(map(torch.equal, in_a_thread(run), run()))


def test_a_block_is_over_after_an_exception_and_only_its_thread_has_it():
    def fail(own):
        assert own_generators() is own
        assert in_a_thread(own_generators) is None
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), OwnGenerators(1) as own:
        fail(own)
    assert own_generators() is None


def test_blocks_that_close_in_any_order_leave_torch_as_it_was():
    """torch has flags of the process for active modes, and compiles nothing while one is set."""
    outer_is_open, inner_is_open, outer_is_over = (threading.Event() for _ in range(3))

    def outer():
        with OwnGenerators(1):
            outer_is_open.set()
            assert inner_is_open.wait(10)
        outer_is_over.set()

    def inner():
        assert outer_is_open.wait(10)
        with OwnGenerators(1):
            inner_is_open.set()
            assert outer_is_over.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(outer), pool.submit(inner)]:
            run.result()
    assert not is_in_torch_dispatch_mode()


def test_a_recorded_program_draws_anew_from_whatever_runs_it():
    def run(seed):
        with poutine.seed(rng_seed=seed):
            return program(HALF), program(HALF)

    with OwnGenerators(5):
        program = record(lambda x: torch.randn(4, 3) + torch.bernoulli(x), HALF)
    expected = run(3)
    assert all(map(torch.equal, in_a_thread(run, 3), expected))
    assert not torch.equal(*expected)


def test_a_program_can_be_compiled_inside():
    def run():
        with poutine.seed(rng_seed=3), torch_flag_kept():
            program = torch.compile(lambda x: torch.randn(4, 3) * x, backend="eager")
            return program(HALF)

    with poutine.seed(rng_seed=3):
        expected = torch.randn(4, 3) * HALF
    assert torch.equal(in_a_thread(run), expected)
