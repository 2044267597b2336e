"""One switch for our checks and those of torch."""

import pytest
import torch

import ppl
from ppl.validation import enable_validation, is_validation_enabled, validation_enabled


def torch_checks():
    return torch.distributions.Distribution._validate_args


@pytest.mark.parametrize("flag", [True, False])
def test_the_switch_turns_our_checks_and_those_of_torch(flag):
    with validation_enabled(not flag):
        enable_validation(flag)
        assert is_validation_enabled() is flag
        assert torch_checks() is flag


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("of_torch", [True, False])
def test_a_context_restores_both_switches_even_after_an_exception(ours, of_torch):
    with validation_enabled(ours):
        torch.distributions.Distribution.set_default_validate_args(of_torch)
        with pytest.raises(KeyError), validation_enabled(not ours):
            raise KeyError
        assert is_validation_enabled() is ours
        assert torch_checks() is of_torch


def test_validation_is_on_by_default_and_reachable_from_the_root():
    assert is_validation_enabled()
    assert ppl.enable_validation is enable_validation
    assert ppl.validation_enabled is validation_enabled
