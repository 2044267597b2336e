"""The front door: what ``import ppl`` offers, and what it loads only when asked."""

import importlib.util
import subprocess
import sys

import pytest

import ppl
import ppl.plugins as plugins
from ppl.errors import AbsentAttributeError, MissingDistributionError


def test_importing_the_root_loads_no_other_distribution_and_leaves_torch_alone():
    program = (
        "import sys, torch\n"
        "before = dict(vars(torch.distributions.Distribution)), torch.get_rng_state()\n"
        "import ppl\n"
        "assert dict(vars(torch.distributions.Distribution)) == before[0]\n"
        "assert torch.equal(torch.get_rng_state(), before[1])\n"
        "loaded = [m for m in sys.modules if m.startswith('ppl.')]\n"
        "parts = ('ppl.distributions', 'ppl.infer', 'ppl.optim', 'ppl.contrib', 'ppl.ops')\n"
        "assert not [m for m in loaded if m.startswith(parts)], loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_subpackage_loads_at_first_use():
    assert ppl.nn is sys.modules["ppl.nn"]


def _not_installed(distribution):
    raise plugins.metadata.PackageNotFoundError(distribution)


def test_an_absent_subpackage_names_the_distribution_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(plugins.metadata, "version", _not_installed)
    monkeypatch.delitem(vars(ppl), "optim", raising=False)
    assert not hasattr(ppl, "optim")
    with pytest.raises(AbsentAttributeError) as caught:
        ppl.optim  # noqa: B018
    assert str(caught.value) == (
        "ppl.optim is provided by ppl-optim, which is not installed: pip install ppl-optim "
        "(before its first release, in a clone of ppl: pip install ./packages/*)"
    )
    assert "optim" not in dir(ppl)


def test_an_absent_function_names_the_distribution_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(plugins.metadata, "version", _not_installed)
    message = "ppl.render_model is provided by ppl-infer"
    assert not hasattr(ppl, "render_model")
    with pytest.raises(AbsentAttributeError, match=message):
        ppl.render_model  # noqa: B018
    with pytest.raises(MissingDistributionError, match=message):
        from ppl import render_model  # noqa: F401


def test_the_log_of_the_package_goes_by_its_name(caplog):
    ppl.log.warning("a word")
    assert [(r.name, r.message) for r in caplog.records] == [("ppl", "a word")]


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ppl' has no attribute 'smaple'"):
        ppl.smaple  # noqa: B018


def test_dir_lists_the_primitives_and_the_installed_subpackages():
    assert {"sample", "param", "plate", "nn"} <= set(dir(ppl))


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="'smaple'; did you mean 'sample'"):
        ppl.__getattr__("smaple")
