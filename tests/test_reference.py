"""Every public name has one place in the reference of the API, with its arguments and its docs.

The pages are those that ``docs/conf.py`` writes; that Sphinx reads them without a warning is
checked by the command ``docs``.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections import Counter
from pathlib import Path

import pytest
from tools import reference
from tools.topics import TOPICS

DIRECTIVE = re.compile(r"^ *\.\. (?:py:|auto)\w+:: ([\w.]+)", re.MULTILINE)
MODULES = sorted({part.module for topic in TOPICS for part in topic.parts})
PUBLIC = [
    f"{module}.{name}"
    for module in MODULES
    for name in reference.public_names(importlib.import_module(module))
]
ENTRIES = reference.entries()
SHOWN = {"ppl.log", "ppl.checker.CODES"}  # a logger and a dict, which have no docs of their own


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Return the pages of the topics; the internals have other objects."""
    return {name: t for name, t in reference.pages().items() if not name.startswith("internals/")}


def test_a_public_object_is_described_once_and_all_its_names_are_there(pages) -> None:
    described = Counter(path for text in pages.values() for path in DIRECTIVE.findall(text))
    assert set(described.values()) == {1}
    assert set(described) == {entry.path for entry in ENTRIES}
    names = [name for entry in ENTRIES for name in (entry.path, *entry.others)]
    assert set(PUBLIC) <= set(names)
    assert len({id(entry.thing) for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize(
    "path, file",
    [
        ("ppl.plate", "primitives"),
        ("ppl.sample", "primitives"),
        ("ppl.condition", "handlers"),
        ("ppl.poutine.trace", "handlers"),
        ("ppl.distributions.Normal", "distributions-continuous"),
        ("ppl.distributions.Delta", "distributions-mixtures"),
        ("ppl.distributions.constraints.positive", "transforms"),
        ("ppl.nn.PyroModule", "parameters"),
        ("ppl.infer.SVI", "svi"),
        ("ppl.infer.MCMC", "mcmc"),
        ("ppl.infer.Predictive", "prediction"),
        ("ppl.infer.autoguide.AutoNormal", "autoguides"),
        ("ppl.optim.Adam", "optimizers"),
        ("ppl.ops.stats.hpdi", "diagnostics"),
        ("ppl.check", "checking"),
        ("ppl.settings.get", "settings"),
        ("ppl.errors.ShapeError", "errors"),
    ],
)
def test_an_object_stands_on_its_page_under_the_name_that_programs_type(
    pages, path: str, file: str
) -> None:
    assert path in DIRECTIVE.findall(pages[file])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.path)
def test_a_public_object_has_arguments_and_a_docstring(entry: reference.Entry) -> None:
    assert reference.docstring(entry.thing) or entry.path in SHOWN
    if inspect.isroutine(entry.thing) or "__init__" in getattr(entry.thing, "__dict__", {}):
        assert reference.signature(entry.thing) != "(...)"


@pytest.mark.parametrize("module", MODULES)
def test_what_a_program_can_import_from_a_facade_is_public(module: str) -> None:
    loaded = importlib.import_module(module)
    if not hasattr(loaded, "__path__"):
        return  # what such a module imports for its own use can be imported from it as well
    of_ours = {
        name
        for name, thing in vars(loaded).items()
        if not name.startswith("_")
        and not isinstance(thing, types.ModuleType)
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and reference.is_ours(thing)
    }
    assert of_ours <= set(reference.public_names(loaded))


def test_what_has_another_name_where_it_is_defined_is_described_in_full(pages) -> None:
    described = pages["primitives"].split(".. py:class:: ppl.plate(")[1]
    assert described.startswith("name, size=None, subsample_size=None")
    assert ":param subsample_size: How many elements to draw" in described.split(".. auto")[0]


def test_internals_have_no_public_object() -> None:
    inner = {
        f"{module}.{name}"
        for modules in reference.internal_modules().values()
        for module in modules
        for name in reference.private_members(module)
    }
    public = {
        f"{t.__module__}.{t.__name__}" for t in (e.thing for e in ENTRIES) if hasattr(t, "__name__")
    }
    assert inner
    assert not inner & public


def test_a_new_name_needs_no_edit_of_the_topics(tmp_path: Path) -> None:
    (tmp_path / "facade.py").write_text(
        "import os\nfrom re import search\nfrom re import match as match\nLIMIT = 3\n_hidden = 1\n"
        "def shown(): ...\nclass Shown: ...\nlog = 2\n"
    )
    spec = importlib.util.spec_from_file_location("facade", tmp_path / "facade.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert reference.public_names(module) == ["Shown", "log", "match", "shown"]


def test_every_distribution_of_the_package_is_on_a_page_of_a_group() -> None:
    """A new one goes to a page that says what it is, not to the rest."""
    assert reference.contents()["distributions-more"] == [("", [])]
