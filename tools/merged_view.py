"""Lay every ``packages/*/src`` over each other in one folder of symbolic links.

    python tools/merged_view.py FOLDER

Tools that cannot follow a package through several editable roots (import-linter, pyright) look at
that folder. Exits with 1 when two distributions own one path: uninstalling one of them would delete
the other's file.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def owners(packages: Path) -> dict[Path, list[Path]]:
    """Return the files behind each path, relative to ``src``: more than one file is a conflict."""
    found: dict[Path, list[Path]] = {}
    for source in sorted(packages.glob("*/src")):
        for file in sorted(source.rglob("*")):
            path = file.relative_to(source)
            is_cached = any(part.startswith((".", "__pycache__")) for part in path.parts)
            if file.is_file() and not is_cached:
                found.setdefault(path, []).append(file)
    return found


def conflicts(found: dict[Path, list[Path]]) -> list[str]:
    """Return one line for each path that several distributions own."""
    return [
        f"{path}: {', '.join(map(str, files))}" for path, files in found.items() if len(files) > 1
    ]


def build(found: dict[Path, list[Path]], view: Path) -> None:
    """Fill ``view`` afresh with a link for every path."""
    shutil.rmtree(view, ignore_errors=True)
    for path, (file,) in found.items():
        (view / path).parent.mkdir(parents=True, exist_ok=True)
        (view / path).symlink_to(file)


def main(arguments: list[str]) -> str | None:
    """Build the view; return the message of a conflict."""
    (view,) = arguments
    found = owners(ROOT / "packages")
    if shared := conflicts(found):
        return "\n".join(
            ["a path belongs to one distribution, but these have several owners:", *shared]
        )
    build(found, Path(view))
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
