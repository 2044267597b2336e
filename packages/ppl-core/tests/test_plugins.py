"""Registries of entry points, tried on invented ones."""

from importlib.metadata import EntryPoint

import pytest

import ppl.plugins as plugins
from ppl.errors import (
    DuplicatePluginError,
    MissingDistributionError,
    PluginLoadError,
    PPLError,
    UnknownPluginError,
)

GROUP = "ppl.kernels"


class Dist:
    """Stands for an installed distribution."""

    def __init__(self, name):
        self.name = name


def entry(name, value, owner="acme"):
    made = EntryPoint(name=name, value=value, group=GROUP)
    vars(made)["dist"] = None if owner is None else Dist(owner)  # entry points are frozen
    return made


@pytest.fixture
def install(monkeypatch):
    """Return a function that pretends that exactly these entry points are installed."""

    def pretend(*installed):
        def entry_points(group):
            return [found for found in installed if found.group == group]

        monkeypatch.setattr(plugins.metadata, "entry_points", entry_points)
        plugins.entries.cache_clear()

    yield pretend
    plugins.entries.cache_clear()


def test_a_registered_object_is_loaded_by_name(install):
    install(entry("sqrt", "math:sqrt"))
    assert plugins.load(GROUP, "sqrt")(4) == 2


def test_names_are_sorted_and_belong_to_their_group(install):
    install(entry("b", "math:sqrt"), entry("a", "math:exp"))
    assert plugins.names(GROUP) == ["a", "b"]
    assert plugins.names("ppl.guides") == []


def test_listing_imports_nothing(install):
    install(entry("broken", "no_such_module:Thing"))
    assert plugins.names(GROUP) == ["broken"]
    assert [found.value for found in plugins.entries(GROUP)["broken"]] == ["no_such_module:Thing"]


def test_an_unknown_name_is_answered_with_the_nearest(install):
    install(entry("NUTS", "math:sqrt"), entry("HMC", "math:sqrt"))
    with pytest.raises(UnknownPluginError) as caught:
        plugins.load(GROUP, "NUTZ")
    assert str(caught.value) == (
        "no installed distribution registers 'NUTZ' in 'ppl.kernels'; did you mean 'NUTS'?"
    )


def test_an_unknown_name_far_from_all_others_gets_no_suggestion(install):
    install(entry("NUTS", "math:sqrt"))
    with pytest.raises(LookupError, match="registers 'Gibbs' in 'ppl.kernels'$"):
        plugins.load(GROUP, "Gibbs")


def test_a_known_name_that_is_absent_names_the_distribution_to_install(install):
    install()
    with pytest.raises(ImportError) as caught:
        plugins.load(GROUP, "NUTS", provider="ppl-absent")
    assert isinstance(caught.value, MissingDistributionError)
    assert str(caught.value) == (
        "'NUTS' is provided by ppl-absent, which is not installed: pip install ppl-absent "
        "(before its first release, in a clone of ppl: pip install ./packages/*)"
    )


def test_a_known_name_that_the_installed_version_lacks_asks_for_an_upgrade(install):
    install()
    with pytest.raises(ImportError, match="version .* does not have it: pip install --upgrade"):
        plugins.load(GROUP, "NUTS", provider="ppl-core")


def test_two_owners_of_a_name_are_refused_and_named(install):
    install(entry("NUTS", "math:sqrt", "ours"), entry("NUTS", "math:exp", "theirs"))
    with pytest.raises(DuplicatePluginError, match="'ours' .math:sqrt. and 'theirs' .math:exp."):
        plugins.load(GROUP, "NUTS")


def test_one_distribution_found_twice_is_one_owner(install):
    install(entry("NUTS", "math:sqrt", "ours"), entry("NUTS", "math:sqrt", "ours"))
    assert plugins.load(GROUP, "NUTS")(9) == 3


@pytest.mark.parametrize(
    ("value", "cause"),
    [("no_such_module:Thing", ModuleNotFoundError), ("math:no_such_name", AttributeError)],
)
def test_a_plugin_that_fails_to_import_breaks_its_own_name_only(install, value, cause):
    install(entry("broken", value), entry("sqrt", "math:sqrt"))
    with pytest.raises(PluginLoadError, match=f"'broken'.*by 'acme' as '{value}'") as caught:
        plugins.load(GROUP, "broken")
    assert type(caught.value.__cause__) is cause
    assert plugins.load(GROUP, "sqrt")(4) == 2


def test_an_entry_point_without_a_distribution_has_an_owner_to_print():
    assert plugins.owner(entry("a", "math:sqrt", owner=None)) == "an unnamed distribution"


@pytest.mark.parametrize("error", [UnknownPluginError, DuplicatePluginError, PluginLoadError])
def test_all_failures_are_errors_of_ours(error):
    assert issubclass(error, PPLError)


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_what_is_installed_here_can_be_listed(group):
    plugins.entries.cache_clear()
    assert plugins.names(group) == sorted(plugins.entries(group))
