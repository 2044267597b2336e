"""The reference of the API: every public name on one page, under the name that programs type.

``TOPICS`` says which names belong together. What a name is, and which there are, is read off the
packages: those that a module re-exports as ``X as X``, those that a facade loads at first use, and
what a module without such imports defines. ``docs/conf.py`` writes the pages.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.ext.napoleon import Config, GoogleDocstring
from tools.topics import TOPICS, Part, Topic

NAPOLEON = Config(napoleon_use_rtype=False)
PACKAGES = Path(__file__).resolve().parent.parent / "packages"
# text of a role, or in two backticks; or in single ones, which torch means as code
QUOTED = re.compile(r"(:[\w:]+:`[^`]+`|``[^`]+``)|`([^`]+)`")


@dataclass(frozen=True)
class Entry:
    """A public object: the name it is documented under, and other names that it has."""

    path: str
    others: tuple[str, ...] = ()

    @property
    def thing(self) -> Any:
        """The object itself."""
        return found(self.path)


def found(path: str) -> Any:
    """Return the object that a module has under a name."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def public_names(module: ModuleType) -> list[str]:
    """Return the names that a module shows to programs; constants in capitals are left out."""
    if hasattr(module, "__all__"):
        names = module.__all__  # of which NUTS is no constant, though in capitals
        found = [n for n in names if not n.isupper() or inspect.isclass(getattr(module, n))]
    else:
        lazy = set(dir(module)) - set(vars(module))
        found = [*_names_in_source(module), *(name for name in lazy if _is_ours(module, name))]
    things = {name: getattr(module, name) for name in sorted(set(found)) if name[0] != "_"}
    return [name for name, thing in things.items() if not isinstance(thing, ModuleType)]


def _names_in_source(module: ModuleType) -> Iterator[str]:
    """Yield what a file exports: ``from m import X as X``, its classes, functions and objects."""
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.name for alias in statement.names if alias.asname == alias.name)
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if name.islower())


def _is_ours(module: ModuleType, name: str) -> bool:
    """Whether a name that a facade loads is not that of a stranger's plugin."""
    return str(getattr(getattr(module, name), "__module__", "")).split(".")[0] == "ppl"


@cache
def contents() -> dict[str, list[tuple[str, list[Entry]]]]:
    """Return the sections of each page, by the name of the page's file: titles and entries.

    An object stands where a part names it, or else in the first part that has it.
    """
    parts = [part for topic in TOPICS for part in topic.parts]
    names: dict[int, list[str]] = {}  # of an object; under the first it is documented
    for part in sorted(parts, key=lambda part: not part.names):
        for path in _paths(part):
            names.setdefault(id(found(path)), []).append(path)
    entries = {first: Entry(first, tuple(others)) for first, *others in names.values()}
    return {
        topic.file: [
            (part.title, [entries[path] for path in _paths(part) if path in entries])
            for part in topic.parts
        ]
        for topic in TOPICS
    }


@cache
def _paths(part: Part) -> list[str]:
    """Return what a part has: the names it lists, or all of its module that no part lists."""
    if part.names:
        return [f"{part.module}.{name}" for name in part.names]
    parts = [other for topic in TOPICS for other in topic.parts if other.module == part.module]
    listed = {name for other in parts for name in other.names}
    public = public_names(importlib.import_module(part.module))
    return [f"{part.module}.{name}" for name in public if name not in listed]


def entries() -> list[Entry]:
    """Return all public objects in the order of the pages."""
    return [entry for sections in contents().values() for _, found in sections for entry in found]


def pages() -> dict[str, str]:
    """Return all pages by the names of their files, without suffix: topics, then internals."""
    topics = {
        topic.file: page(topic) for topic in TOPICS if any(f for _, f in contents()[topic.file])
    }
    inner = {
        f"internals/{package}": internal_page(package, modules)
        for package, modules in internal_modules().items()
    }
    about = "What the modules define for each other. It may change in any release."
    overviews = {
        "index": _overview("API", "Every public name, by topic.", [*topics, "internals/index"]),
        "internals/index": _overview("Internals", about, [name.split("/")[1] for name in inner]),
    }
    return overviews | topics | inner


def _overview(title: str, about: str, names: Iterable[str]) -> str:
    lines = [f"# {title}", "", about, "", "```{toctree}", ":maxdepth: 1", "", *names, "```", ""]
    return "\n".join(lines)


def page(topic: Topic) -> str:
    """Return the page of a topic in Markdown."""
    blocks = [f"# {topic.title}", topic.about]
    for title, found in contents()[topic.file]:
        if found:
            blocks += [f"## {title}"] if title else []
            blocks.append("```{eval-rst}\n" + "\n".join(map(directive, found)) + "```")
    return "\n\n".join(blocks) + "\n"


def directive(entry: Entry) -> str:
    """Return what describes an object, in reStructuredText.

    Sphinx finds out the rest about classes and functions of ours; not about what has another name
    where it is defined, which it calls an alias, nor about what torch says in its own markup.
    """
    thing, name = entry.thing, entry.path.rpartition(".")[2]
    also = f"Also as ``{'``, ``'.join(entry.others)}``." if entry.others else ""
    kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
    if is_ours(thing) and getattr(thing, "__name__", "") == name:
        return _block(f"auto{kind}:: {entry.path}", also)
    call = signature(thing) if callable(thing) else ""
    text = formatted(docstring(thing)) if is_ours(thing) else first_paragraph(thing)
    head = f"py:{kind}:: {entry.path}{call}"
    if is_ours(thing) and inspect.isclass(thing):  # the name by which other docs refer to it
        head += f"\n   :canonical: {thing.__module__}.{thing.__qualname__}"
    return _block(head, text, also)


def formatted(text: str) -> str:
    """Return a docstring whose sections, such as ``Args:``, are in the markup of Sphinx."""
    return str(GoogleDocstring(text, NAPOLEON, what="class"))


def _block(head: str, *paragraphs: str) -> str:
    lines = "\n\n".join(filter(None, paragraphs)).splitlines()
    return "\n".join([f".. {head}", "", *(f"   {line}".rstrip() for line in lines), ""])


def is_ours(thing: Any) -> bool:
    """Whether an object is defined in a package of this repository."""
    return str(getattr(thing, "__module__", "")).split(".")[0] == "ppl"


def signature(thing: Any) -> str:
    """Return the arguments of a callable without annotations, empty where there are none to see."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return "(...)"
    plain = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=plain, return_annotation=found.empty))


def docstring(thing: Any) -> str:
    """Return the docstring of an object, or of its class; builtin classes have nothing to say."""
    is_builtin = not callable(thing) and type(thing).__module__ in ("builtins", "logging")
    return "" if is_builtin else inspect.cleandoc(thing.__doc__ or "")


def first_paragraph(thing: Any) -> str:
    """Return the first paragraph of a docstring, without the announcement of an example."""
    text = " ".join(docstring(thing).split("\n\n")[0].split())
    quoted = QUOTED.sub(lambda match: match[1] or f"``{match[2]}``", text)
    return re.sub(r"\s*[\w ]*::$", "", quoted)


def internal_modules() -> dict[str, list[str]]:
    """Return, by package, the modules that define something which has no public name."""
    found: dict[str, list[str]] = {}
    for module in _modules(PACKAGES.glob("*/src")):
        if private_members(module):
            package = module if hasattr(importlib.import_module(module), "__path__") else ""
            found.setdefault(package or module.rpartition(".")[0], []).append(module)
    return found


def internal_page(package: str, modules: list[str]) -> str:
    """Return the page of what the modules of a package define for each other."""
    blocks = [f"# {package}"]
    for module in modules:
        options = [".. automodule:: " + module, f"   :members: {_joined(private_members(module))}"]
        blocks += [f"## {module}", "```{eval-rst}\n" + "\n".join(options) + "\n```"]
    return "\n\n".join(blocks) + "\n"


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)


@cache
def private_members(module: str) -> list[str]:
    """Return what a module defines and the reference by name does not have."""
    loaded = importlib.import_module(module)
    public = {id(entry.thing) for entry in entries()}
    return [
        name
        for name, thing in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module
        and thing.__doc__
        and id(thing) not in public
    ]


def _modules(sources: Iterable[Path]) -> list[str]:
    """Return the dotted names of the modules below folders that have no leading underscore."""
    names = set()
    for source in sources:
        for file in source.rglob("*.py"):
            parts = file.relative_to(source).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if not any(part.startswith("_") for part in parts):
                names.add(".".join(parts))
    return sorted(names)
