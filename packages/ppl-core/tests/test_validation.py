"""One switch for our checks and those of torch, in each thread."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import ppl
from ppl import settings
from ppl.distribution import wrap
from ppl.validation import enable_validation, is_validation_enabled, validation_enabled


def torch_checks():
    return torch.distributions.Distribution._validate_args


def checks():
    """Whether our switch says so, and what distributions of torch and ours do."""
    normal = torch.distributions.Normal(0.0, 1.0)
    return is_validation_enabled(), *(refuses(fn) for fn in (normal, wrap(normal)))


def refuses(fn):
    try:
        fn.log_prob(torch.tensor(float("nan")))
    except ValueError:
        return True
    return False


ON, OFF = (True,) * 3, (False,) * 3


def fail_after(claim):
    assert claim
    raise ZeroDivisionError


@pytest.fixture
def _process():
    """Gives the process the switches back that it had."""
    yield
    enable_validation(True)


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize("flag", [True, False])
def test_the_switch_turns_our_checks_and_those_of_torch(flag):
    enable_validation(not flag)
    enable_validation(flag)
    assert is_validation_enabled() is flag
    assert torch_checks() is flag
    assert checks() == (flag,) * 3


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize("flag", [True, False])
def test_a_switch_in_a_block_is_that_of_the_block(flag):
    enable_validation(not flag)
    with validation_enabled(not flag):
        enable_validation(flag)
        assert torch_checks() is flag
        assert checks() == (flag,) * 3
    assert checks() == (not flag,) * 3


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("of_torch", [True, False])
def test_a_block_restores_both_switches_even_after_an_exception(ours, of_torch):
    enable_validation(ours)
    torch.distributions.Distribution.set_default_validate_args(of_torch)
    with pytest.raises(ZeroDivisionError), validation_enabled(not ours):
        fail_after(torch_checks() is not ours)
    assert is_validation_enabled() is ours
    assert torch_checks() is of_torch
    assert vars(torch.distributions.Distribution)["_validate_args"] is of_torch


def test_blocks_nest():
    with validation_enabled(False):
        with validation_enabled(True):
            assert checks() == ON
        assert checks() == OFF
    assert checks() == ON


def test_a_distribution_that_exists_follows_the_switch_unless_it_was_told():
    follows = wrap(torch.distributions.Normal(0.0, 1.0))
    told = wrap(torch.distributions.Normal(0.0, 1.0, validate_args=True))
    with validation_enabled(False):
        assert not refuses(follows)
        assert refuses(told)
    assert refuses(follows)


def test_a_thread_starts_with_the_switch_of_the_process():
    with validation_enabled(False), ThreadPoolExecutor() as pool:
        assert pool.submit(checks).result() == ON


@pytest.mark.parametrize("first", [0, 1])
def test_blocks_of_two_threads_do_not_mix_whichever_closes_first(first):
    opened = threading.Barrier(3)
    closing = [threading.Event(), threading.Event()]

    def run(number):
        with validation_enabled(bool(number)):
            opened.wait(10)
            assert closing[number].wait(10)
            return checks()

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(run, number) for number in (0, 1)]
        opened.wait(10)
        assert checks() == ON
        closing[first].set()
        assert answers[first].result() == (ON if first else OFF)
        closing[1 - first].set()
        assert answers[1 - first].result() == (OFF if first else ON)
    assert vars(torch.distributions.Distribution)["_validate_args"] is True


@pytest.mark.usefixtures("_process")
def test_the_switch_of_the_process_reaches_threads_without_a_block():
    with ThreadPoolExecutor() as pool, validation_enabled(True):
        opened, closing = threading.Event(), threading.Event()

        def switch_off():
            enable_validation(False)
            opened.set()
            assert closing.wait(10)
            return checks()

        answer = pool.submit(switch_off)
        assert opened.wait(10)
        assert checks() == ON
        closing.set()
        assert answer.result() == OFF
    assert checks() == OFF


def test_validation_is_on_by_default_and_reachable_from_the_root():
    assert is_validation_enabled()
    assert ppl.enable_validation is enable_validation
    assert ppl.validation_enabled is validation_enabled


SETTINGS = ["validate_infer", "validate_poutine", "validate_distributions_torch"]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("outside", [False, True])
def test_a_setting_in_a_block_is_that_of_the_block(name, outside):
    before = settings.get()
    with validation_enabled(outside):
        assert settings.get(name) is outside
        with settings.context(**{name: not outside}):
            assert is_validation_enabled() is settings.get(name) is not outside
        assert is_validation_enabled() is settings.get(name) is outside
        settings.set(**{name: not outside})
    assert settings.get() == before


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_lasts_until_it_is_set_back(name):
    before = settings.get(name)
    settings.set(**{name: not before})
    try:
        with validation_enabled(before):
            assert settings.get(name) is before
        assert settings.get(name) is not before
    finally:
        settings.set(**{name: before})
