"""The rules on imports that import-linter checks on the merged view (pyproject.toml names them).

They hold for every module without naming any: who owns a module is read off ``packages/*/src``, and
what its distribution may import is what its ``pyproject.toml`` declares as dependencies.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import tomli
from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

PACKAGES = Path(__file__).resolve().parent.parent / "packages"


def declared_dependencies(packages: Path = PACKAGES) -> dict[str, set[str]]:
    """Return, for each distribution of this repository, which of the others it declares."""
    projects = [
        tomli.loads(path.read_text())["project"]
        for path in sorted(packages.glob("*/pyproject.toml"))
    ]
    ours = {project["name"] for project in projects}
    return {
        project["name"]: {distribution_name(line) for line in project.get("dependencies", ())}
        & ours
        for project in projects
    }


def distribution_name(requirement: str) -> str:
    """Return the name in a requirement: ``ppl-core`` for ``ppl-core>=0.1,<0.2``."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return name.group()


def module_owners(packages: Path = PACKAGES) -> dict[str, str]:
    """Return the distribution that ships each module, by the dotted name of the module."""
    owners = {}
    for source in packages.glob("*/src"):
        for file in source.rglob("*.py"):
            parts = file.relative_to(source).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            owners[module] = source.parent.name
    return owners


class DeclaredArrows(Contract):
    """A module imports from its own distribution and from those that this one declares."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        owners, arrows = module_owners(), declared_dependencies()
        strays = [
            f"{importer} -> {imported}: {owners[importer]} does not declare {owners[imported]}"
            for importer, imported in direct_imports(graph)
            if importer in owners
            and imported in owners
            and owners[imported] not in {owners[importer], *arrows[owners[importer]]}
        ]
        return ContractCheck(kept=not strays, metadata={"lines": strays})

    def render_broken_contract(self, check: ContractCheck) -> None:
        render(check)


class NoBareRoot(Contract):
    """No module imports ``ppl`` itself, which would go round in circles."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        strays = [
            f"{importer} imports the bare root ppl; import from the module that defines the thing"
            for importer, imported in direct_imports(graph)
            if imported == "ppl"
        ]
        return ContractCheck(kept=not strays, metadata={"lines": strays})

    def render_broken_contract(self, check: ContractCheck) -> None:
        render(check)


class Rooms(Contract):
    """The rooms of a package import from the floors below them, and its modules go in no circle.

    A room is a module or a package in the container; a floor is some of them, separated by blanks.
    """

    container = fields.StringField()
    floors = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        floor_of = {
            room: floor for floor, rooms in enumerate(self.floors) for room in rooms.split()
        }
        start = f"{self.container}."
        inner = [
            (one, other)
            for one, other in direct_imports(graph)
            if one.startswith(start) and other.startswith(start)
        ]
        room_of = {
            module: module.removeprefix(start).partition(".")[0]
            for module in sorted(graph.modules)
            if module.startswith(start)
        }
        strays = [f"{m} is on no floor" for m, room in room_of.items() if room not in floor_of]
        strays += [
            f"{one} -> {other}: {room_of[other]} is not below {room_of[one]}"
            for one, other in inner
            if room_of[one] != room_of[other]
            and floor_of.get(room_of[one], -1) >= floor_of.get(room_of[other], len(floor_of))
        ]
        strays += circle(inner)
        return ContractCheck(kept=not strays, metadata={"lines": strays})

    def render_broken_contract(self, check: ContractCheck) -> None:
        render(check)


def circle(imports: list[tuple[str, str]]) -> list[str]:
    """Return a line that names a circle of imports; none if there is no circle."""
    imported: dict[str, set[str]] = {}
    for one, other in imports:
        imported.setdefault(one, set()).add(other)
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        return [f"a circle: {' <- '.join(error.args[1])}"]
    return []


def direct_imports(graph: ImportGraph) -> list[tuple[str, str]]:
    """Return every pair of modules where the first imports the second."""
    modules = sorted(graph.modules)
    return [
        (one, other)
        for one in modules
        for other in sorted(graph.find_modules_directly_imported_by(one))
    ]


def render(check: ContractCheck) -> None:
    """Print the offending imports of a broken contract, one a line."""
    for line in check.metadata["lines"]:
        output.print_error(line)
