"""Another project's package ``ppl``: whichever way it meets ours, the user is told what to do.

The law that was missing: an import either gives our package alone, or says that it does not.
"""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import ppl
from ppl import foreign
from ppl.errors import PPLError

SOURCES = Path(ppl.__file__).parent


@pytest.fixture
def overwritten(tmp_path):
    """A folder where another project's root lies over the modules of ours."""
    shutil.copytree(SOURCES, tmp_path / "ppl", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ppl" / "__init__.py").write_text("def progressbar(): ...\n")
    return tmp_path


@pytest.mark.parametrize("part", ["plugins", "settings", "nn"])
def test_a_part_under_the_root_of_another_project_says_what_to_install(part, overwritten):
    program = f"import sys; sys.path.insert(0, {str(overwritten)!r}); import ppl.{part}"
    python = [sys.executable, "-S", "-c", program]  # -S: no torch, no editable installs
    failed = subprocess.run(python, capture_output=True, text=True)
    assert "ForeignPackageError: the package ppl in" in failed.stderr
    assert "uninstall ppl" in failed.stderr and "ppl-core" in failed.stderr


def test_the_error_is_an_import_error():
    assert issubclass(foreign.ForeignPackageError, (PPLError, ImportError))


def test_another_distribution_of_the_name_is_announced(monkeypatch):
    monkeypatch.setattr(foreign.metadata, "version", lambda name: "0.4.5")
    with pytest.warns(UserWarning, match=r"'ppl' 0\.4\.5 is installed.*uninstall ppl.*ppl-core"):
        foreign.notice(list(ppl.__path__))


def test_a_second_root_among_our_folders_is_announced(tmp_path):
    (tmp_path / "__init__.py").touch()
    with pytest.warns(UserWarning, match="there are 2 packages named ppl") as caught:
        foreign.notice([*ppl.__path__, str(tmp_path)])
    assert str(tmp_path) in str(caught[0].message)


def test_our_own_distributions_are_no_news(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        foreign.notice([*ppl.__path__, *ppl.__path__, str(tmp_path)])
