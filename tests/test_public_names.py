"""Every name that programs know is there, and takes the arguments that they pass.

``api/<distribution>.tsv`` lists the public names of a distribution with the names and defaults of
their arguments; ``...`` stands for a default that is no plain value.
"""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
import math
from pathlib import Path
from typing import Any

import pytest

API = Path(__file__).parent / "api"
DISTRIBUTIONS = sorted(file.stem for file in API.glob("*.tsv"))
LEFT_OUT = {
    "ppl.optim.HorovodOptimizer": "Horovod is given up; torch.distributed does its work",
    "ppl.poutine.runtime.TYPE_CHECKING": "an import of typing, meant for nobody",
    "ppl.poutine.util.TYPE_CHECKING": "an import of typing, meant for nobody",
    "ppl.util.TYPE_CHECKING": "an import of typing, meant for nobody",
}
PLAIN = (bool, int, float, str, tuple, list, type(None))
Parameters = dict[str, inspect.Parameter]


def table(distribution: str) -> list[tuple[str, str]]:
    """Return the paths and signatures that a distribution must have."""
    with open(API / f"{distribution}.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["path"], row["signature"]) for row in rows]


ROWS = [row for name in DISTRIBUTIONS for row in table(name) if row[0] not in LEFT_OUT]


def found(path: str) -> Any:
    """Return the object at a dotted path, through as many modules as there are."""
    names = path.split(".")
    for i in range(len(names) - 1, 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(names[:i]))
        except ModuleNotFoundError:
            continue
        for name in names[i:]:
            thing = getattr(thing, name)
        return thing
    raise ModuleNotFoundError(path)


def documented(signature: str) -> dict[str, Any]:
    """Return the named arguments of a signature in a table; required ones map to ``empty``."""
    arguments = ast.parse(f"def f{signature}: pass").body[0].args  # type: ignore[attr-defined]
    named = [*arguments.args, *arguments.kwonlyargs]
    required = [None] * (len(arguments.args) - len(arguments.defaults))
    defaults = [*required, *arguments.defaults, *arguments.kw_defaults]
    return {a.arg: _value(d) for a, d in zip(named, defaults, strict=True)}


def _value(default: ast.expr | None) -> Any:
    if default is None:
        return inspect.Parameter.empty
    if isinstance(default, ast.Name) and default.id == "inf":
        return math.inf
    return ast.literal_eval(default)


def accepted(thing: Any) -> Parameters:
    """Return the arguments that a function or class takes, without ``self``."""
    parameters = dict(inspect.signature(thing).parameters)
    parameters.pop("self", None)
    return parameters


def takes_any_keyword(parameters: Parameters) -> bool:
    """Return whether there is a ``**kwargs``."""
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def test_a_table_lists_each_name_once() -> None:
    for file in API.glob("*.tsv"):
        paths = [path for path, _ in table(file.stem)]
        assert len(set(paths)) == len(paths) > 0


def test_what_is_left_out_is_in_a_table() -> None:
    assert set(LEFT_OUT) <= {path for name in DISTRIBUTIONS for path, _ in table(name)}


@pytest.mark.parametrize(("path", "signature"), ROWS, ids=[path for path, _ in ROWS])
def test_a_name_is_there_with_its_arguments_and_their_defaults(path: str, signature: str) -> None:
    thing = found(path)
    if not signature:
        return
    parameters, wanted = accepted(thing), documented(signature)
    missing = [name for name in wanted if name not in parameters]
    assert not missing or takes_any_keyword(parameters), f"{path} does not take {missing}"
    for name in set(wanted) & set(parameters):
        default = parameters[name].default
        if isinstance(wanted[name], PLAIN) and isinstance(default, PLAIN):
            assert default == wanted[name], name
