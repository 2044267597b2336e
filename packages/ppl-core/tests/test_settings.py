"""Named settings: declared by modules, changed by programs."""

import subprocess
import sys
import types

import pytest
import torch

from ppl import settings
from ppl.distribution import Delta
from ppl.errors import MissingSiteError
from ppl.validation import is_validation_enabled


@pytest.fixture
def holder(monkeypatch):
    """A module with two settings."""
    module = types.ModuleType("holder_of_settings")
    module.speed, module.engine = 3, types.SimpleNamespace(gears=5)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(settings, "_registry", {})
    monkeypatch.setattr(settings, "entries", lambda group: {})

    settings.register("gears", module.__name__, "engine.gears")

    @settings.register("speed", module.__name__, "speed")
    def validate(value):
        if value < 0:
            raise ValueError("speed must not be negative")

    return module


def test_a_setting_is_read_and_written_where_it_lives(holder):
    settings.set(speed=7, gears=6)
    assert (holder.speed, holder.engine.gears) == (7, 6)
    holder.speed = 8
    assert settings.get("speed") == 8


def test_all_settings_are_listed(holder):
    assert settings.get() == {"gears": 5, "speed": 3}


def test_nothing_is_changed_unless_all_values_are_good(holder):
    with pytest.raises(ValueError, match="must not be negative"):
        settings.set(gears=6, speed=-1)
    assert settings.get() == {"gears": 5, "speed": 3}


def test_a_context_changes_settings_for_a_block(holder):
    with settings.context(speed=9):
        assert settings.get("speed") == 9
    assert settings.get("speed") == 3
    with pytest.raises(KeyError), settings.context(speed=9):
        raise KeyError
    assert settings.get("speed") == 3


def test_a_validator_can_be_passed_as_an_argument(holder):
    def validate(value):
        raise ValueError("never")

    assert settings.register("speed", holder.__name__, "speed", validate) is validate
    with pytest.raises(ValueError, match="never"):
        settings.set(speed=1)


@pytest.mark.parametrize(
    "use",
    [
        lambda: settings.get("sped"),
        lambda: settings.set(sped=1),
        lambda: settings.context(sped=1).__enter__(),
    ],
    ids=["get", "set", "context"],
)
def test_an_unknown_setting_is_answered_with_the_nearest(holder, use):
    with pytest.raises(MissingSiteError) as caught:
        use()
    assert str(caught.value) == (
        "there is no setting 'sped'; did you mean 'speed'?; known: ['gears', 'speed']"
    )


# That a setting exists because its distribution is installed, imported or not, was the missing law.


def test_a_setting_of_what_is_installed_is_known_before_that_is_imported():
    program = (
        "import ppl, sys; assert 'ppl.nn.sharing' not in sys.modules;"
        "ppl.settings.set(module_local_params=True);"
        "assert sys.modules['ppl.nn.sharing'].local_params;"
        "assert ppl.settings.get()['module_local_params']"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_checks_are_settings_under_the_names_of_pyro():
    names = ("validate_infer", "validate_poutine", "validate_distributions_pyro")
    for name in names:
        before = settings.get(name)
        with settings.context(**{name: not before}):
            assert settings.get(name) is not before
        assert settings.get(name) is before
    with settings.context(validate_distributions_pyro=False, validate_infer=False):
        assert not is_validation_enabled()
        Delta(torch.tensor(0.0)).log_prob(torch.tensor(torch.nan))  # is not checked
