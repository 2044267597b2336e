"""Our own classes go through the same door as a stranger's."""

from __future__ import annotations

import ast
import importlib
from importlib import metadata
from pathlib import Path

import pytest
from tools.arrows import PACKAGES, module_owners

import ppl.plugins as plugins

FACADES = {
    "ppl.distributions": "ppl.distributions",
    "ppl.optimizers": "ppl.optim",
    "ppl.infer": "ppl.infer",
}
OURS = [
    entry
    for distribution in sorted(path.name for path in PACKAGES.iterdir())
    for entry in metadata.distribution(distribution).entry_points
    if entry.group in plugins.GROUPS
]


def module_file(name: str) -> Path:
    """Return the source of the package ``name``."""
    source = PACKAGES / module_owners()[name] / "src"
    return source.joinpath(*name.split("."), "__init__.py")


def reexported(name: str) -> list[str]:
    """Return the public names that a package re-exports as ``X as X``, also for type checkers."""
    tree = ast.parse(module_file(name).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    aliases = [alias for node in imports for alias in node.names]
    return sorted({a.name for a in aliases if a.name == a.asname and not a.name.startswith("_")})


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.group}:{entry.name}")
def test_a_registered_name_loads_from_the_distribution_that_registers_it(entry) -> None:
    loaded = plugins.load(entry.group, entry.name)
    assert loaded is entry.load()
    assert module_owners()[entry.value.split(":")[0]] == plugins.owner(entry)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in OURS if entry.group in FACADES],
    ids=lambda entry: f"{entry.group}:{entry.name}",
)
def test_a_facade_shows_what_is_registered(entry) -> None:
    facade = importlib.import_module(FACADES[entry.group])
    assert entry.name in dir(facade)
    assert getattr(facade, entry.name) is entry.load()


@pytest.mark.parametrize("facade", ["ppl", "ppl.distributions", "ppl.optim", "ppl.infer"])
def test_what_a_type_checker_sees_is_there(facade: str) -> None:
    module, names = importlib.import_module(facade), reexported(facade)
    assert names
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("facade", ["ppl", "ppl.distributions", "ppl.optim", "ppl.infer"])
def test_everything_that_dir_lists_is_there(facade: str) -> None:
    module = importlib.import_module(facade)
    assert [name for name in dir(module) if not hasattr(module, name)] == []


@pytest.mark.parametrize("facade", ["ppl", "ppl.distributions", "ppl.optim", "ppl.infer"])
def test_an_unknown_name_is_an_attribute_error_that_names_it(facade: str) -> None:
    with pytest.raises(AttributeError, match="NoSuchName"):
        importlib.import_module(facade).NoSuchName  # noqa: B018


def test_no_module_has_the_name_of_a_thing_that_its_package_exports() -> None:
    """Importing the module would overwrite the thing in the package."""
    clashes = [
        f"{package}.{name}"
        for package in sorted(module_owners())
        if module_file(package).exists()
        for name in reexported(package)
        if f"{package}.{name}" in module_owners()
        and not isinstance(vars(importlib.import_module(package)).get(name), type(ast))
    ]
    assert clashes == []
