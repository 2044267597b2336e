"""Named settings: declared by modules, changed by programs."""

import sys
import types

import pytest

from ppl import settings
from ppl.errors import MissingSiteError


@pytest.fixture
def holder(monkeypatch):
    """A module with two settings."""
    module = types.ModuleType("holder_of_settings")
    module.speed, module.engine = 3, types.SimpleNamespace(gears=5)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(settings, "_registry", {})

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
