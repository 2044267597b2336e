"""The lazy facade."""

import sys

import pytest

import ppl.infer
import ppl.plugins as plugins
from ppl.errors import AbsentAttributeError, MissingDistributionError


def test_every_promised_name_is_registered_by_the_promised_distribution():
    for name, provider in ppl.infer.PROVIDERS.items():
        owners = {plugins.owner(entry) for entry in plugins.entries("ppl.infer")[name]}
        assert owners == {provider}


@pytest.fixture
def nothing_installed(monkeypatch):
    def version(distribution):
        raise plugins.metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(plugins.metadata, "version", version)
    monkeypatch.setattr(plugins, "entries", lambda group: {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("nothing_installed")
def test_a_known_name_that_is_absent_says_what_to_install():
    with pytest.raises(AbsentAttributeError, match="pip install ppl-infer-svi"):
        ppl.infer.__getattr__("SVI")
    with pytest.raises(MissingDistributionError, match="pip install ppl-infer-svi"):
        from ppl.infer import SVI  # noqa: F401


@pytest.mark.usefixtures("nothing_installed")
def test_an_absent_subpackage_says_what_to_install():
    with pytest.raises(AbsentAttributeError, match="pip install ppl-infer-mcmc"):
        ppl.infer.__getattr__("mcmc")


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(AttributeError, match="did you mean.*Predictive"):
        ppl.infer.Predictve  # noqa: B018


def test_names_are_listed_without_loading_them():
    assert {"SVI", "NUTS", "MCMC", "Predictive", "autoguide"} <= set(dir(ppl.infer))


def test_modules_of_the_package_resolve_as_attributes():
    assert ppl.infer.initialization is sys.modules["ppl.infer.initialization"]
