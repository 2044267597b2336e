"""What is in the wheels, and that each works alone, with what it declares and no more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.arrows import PACKAGES
from tools.merged_view import owners

from .conftest import CONSTRAINTS, ROOT

NAMES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
WITH_CODE = sorted(path.parent.name for path in ROOT.glob("packages/*/src"))

IMPORT_EVERYTHING = """
import importlib, importlib.metadata
names = sorted(
    str(path.with_suffix("")).replace("\\\\", ".").replace("/", ".").removesuffix(".__init__")
    for path in importlib.metadata.files({name!r})
    if path.suffix == ".py" and path.stem != "__main__"
)
for name in names:
    importlib.import_module(name)
print(len(names))
"""
ENTRY_POINTS = """
import importlib.metadata
entries = importlib.metadata.distribution({name!r}).entry_points
for entry in entries:
    entry.load()
"""
WHERE = """
import importlib.metadata, pathlib, ppl, sys
print(pathlib.Path(ppl.__file__).resolve())
print(*sorted(
    d.metadata["Name"] for d in importlib.metadata.distributions()
    if d.metadata["Name"].startswith("ppl")
))
"""


def test_there_is_a_wheel_for_every_distribution(wheels) -> None:
    assert sorted(wheels) == NAMES


def test_no_path_is_in_two_wheels(wheels) -> None:
    paths = Counter(path for wheel in wheels.values() for path in wheel.files())
    assert [path for path, count in paths.items() if count > 1] == []


@pytest.mark.parametrize("name", WITH_CODE)
def test_a_wheel_holds_its_sources_and_says_that_they_are_typed(wheels, name: str) -> None:
    source = ROOT / "packages" / name / "src"
    expected = {
        path.as_posix() for path, (file,) in owners(PACKAGES).items() if source in file.parents
    }
    assert set(wheels[name].files()) == expected
    assert any(path.endswith("/py.typed") for path in expected)


def markers(wheel) -> set[str]:
    return {p.rpartition("/")[0] for p in wheel.files() if p.endswith("/py.typed")}


@pytest.mark.parametrize("name", WITH_CODE)
def test_a_wheel_is_typed_in_a_package_of_its_own(wheels, name: str) -> None:
    """PEP 561 reads the marker of the top-level package, but checkers accept one further down.

    A module at a path of Pyro may lie in the package of a distribution that is required.
    """
    folders = {path.rpartition("/")[0] for path in wheels[name].files() if path.endswith(".py")}
    required = wheels[name].metadata().get_all("Requires-Dist") or []
    others = [n for n in WITH_CODE if any(re.split(r"[^\w-]", line)[0] == n for line in required)]
    typed = markers(wheels[name]) | {t for n in others for t in markers(wheels[n]) if t != "ppl"}
    assert all(any(f == t or f.startswith(t + "/") for t in typed) for f in folders)


def test_the_meta_distribution_holds_no_file(wheels) -> None:
    assert wheels["ppl-all"].files() == []


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_carries_its_license_and_its_readme(wheels, name: str) -> None:
    metadata = wheels[name].metadata()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert str(metadata.get_payload()).startswith(f"# {name}\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_names_the_pythons_that_it_runs_on(wheels, name: str) -> None:
    classifiers = wheels[name].metadata().get_all("Classifier")
    pythons = [line.rpartition(" ")[2] for line in classifiers if "Python :: 3." in line]
    assert pythons == ["3.10", "3.11", "3.12", "3.13"]


@pytest.mark.parametrize("name", WITH_CODE)
def test_a_wheel_takes_no_torch_that_is_newer_than_the_tested_one(wheels, name: str) -> None:
    """The engine uses inner parts of torch, so an untested release is refused, not tried."""
    (pin,) = re.findall(r"^torch==(\d+)\.(\d+)", CONSTRAINTS.read_text(), re.MULTILINE)
    (needed,) = [line for line in wheels[name].requirements() if line.startswith("torch")]
    assert f"<{pin[0]}.{int(pin[1]) + 1}" in needed


def test_an_environment_sees_the_wheel_and_not_the_checkout(fresh: Callable) -> None:
    environment = fresh("ppl-core")
    location, names = environment.run(WHERE).splitlines()
    assert Path(location).is_relative_to(environment.folder.resolve())
    assert names == "ppl-core"


@pytest.mark.parametrize("name", WITH_CODE)
def test_a_distribution_imports_with_what_it_declares(fresh: Callable, name: str) -> None:
    environment = fresh(name)
    assert int(environment.run(IMPORT_EVERYTHING.format(name=name))) > 0
    environment.run(ENTRY_POINTS.format(name=name))
