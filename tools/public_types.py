"""Measure how much of the public types of each distribution is written down.

    python -m tools.public_types

A public symbol whose type has to be inferred, or is not known at all, looks different to mypy and
to pyright. Pyright's verifier finds them; this script counts them by distribution. It prints the
shares, and for each distribution below the bar the symbols to annotate, and then exits with 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.arrows import module_owners
from tools.merged_view import ROOT, build, owners

BAR = 0.95  # of the symbols of a distribution

Symbol = Mapping[str, Any]  # one entry of pyright's report


class Score(NamedTuple):
    """The public symbols of one distribution: how many, and those whose type is not known."""

    total: int
    unknown: list[Symbol]

    @property
    def share(self) -> float:
        """The share of symbols of known type."""
        return 1 - len(self.unknown) / self.total


def main() -> int:
    """Print the shares, and what is missing where it is too much; return the exit status."""
    scores = scores_by_distribution(public_symbols(), module_owners())
    for name, score in sorted(scores.items()):
        print(f"{name:20} {score.share:6.1%} of {score.total}")
    failing = {name: score for name, score in scores.items() if score.share < BAR}
    for name, score in sorted(failing.items()):
        print(f"\n{name} is below {BAR:.0%}; annotate these:")
        print("\n".join(reason for symbol in score.unknown for reason in reasons(symbol)))
    return 1 if failing else 0


def public_symbols() -> list[Symbol]:
    """Return what pyright's verifier says of every symbol that a user of ``ppl`` can reach."""
    with tempfile.TemporaryDirectory() as folder:
        view, nowhere = Path(folder, "view"), Path(folder, "nowhere")
        nowhere.mkdir()  # pyright would take the sources of the current folder for the package
        build(owners(ROOT / "packages"), view)
        command = [sys.executable, "-m", "pyright", "--verifytypes", "ppl", "--ignoreexternal"]
        answer = subprocess.run(
            [*command, "--outputjson"],
            cwd=nowhere,
            env=environment(view),
            stdout=subprocess.PIPE,
            text=True,
        )
    symbols: list[Symbol] = json.loads(answer.stdout)["typeCompleteness"]["symbols"]
    return [symbol for symbol in symbols if symbol["isExported"]]


def environment(view: Path) -> dict[str, str]:
    """Return variables that show pyright this Python with the packages of ``view`` in it.

    It asks the first ``python`` on the path for its packages, and of an editable installation it
    would see only one of the folders that make up ``ppl``.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}  # else it asks the network for a newer version
    return {**os.environ, **quiet, "PATH": path, "PYTHONPATH": str(view)}


def scores_by_distribution(
    symbols: Iterable[Symbol], modules: Mapping[str, str]
) -> dict[str, Score]:
    """Return the score of each distribution that has symbols, given who ships each module."""
    scores: dict[str, Score] = {}
    for symbol in symbols:
        owner = owner_of(symbol["name"], modules)
        total, unknown = scores.get(owner, Score(0, []))
        missing = [] if symbol["isTypeKnown"] else [symbol]
        scores[owner] = Score(total + 1, unknown + missing)
    return scores


def owner_of(name: str, modules: Mapping[str, str]) -> str:
    """Return the distribution that ships the innermost module of a dotted name."""
    while name not in modules:
        name, dot, _ = name.rpartition(".")
        assert dot, "a symbol lies in a module of ours"
    return modules[name]


def reasons(symbol: Symbol) -> list[str]:
    """Return one line for each complaint about the symbol itself, not about what it refers to."""
    messages = [" ".join(found["message"].split()) for found in symbol["diagnostics"]]
    return [f"  {symbol['name']}: {message}" for message in messages]


if __name__ == "__main__":
    sys.exit(main())
