"""``python -m ppl``: what a bug report needs."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from . import plugins
from .cpp import find_compiler


def main() -> None:
    """Print the versions, the plugins by group, and whether a compiler and CUDA are there."""
    print(f"Python {platform.python_version()}, {platform.platform()}")
    cuda = torch.version.cuda if torch.cuda.is_available() else "not available"
    print(f"torch {torch.__version__}, CUDA {cuda}, C++ compiler {find_compiler() or 'not found'}")
    for distribution in _distributions():
        print(f"{distribution.metadata['Name']} {distribution.version}")
    for group in plugins.GROUPS:
        _print_group(group)


def _distributions() -> list[metadata.Distribution]:
    """Everything of ours, and everything that registers a plugin."""
    found = {
        d.metadata["Name"]: d
        for d in metadata.distributions()
        if d.metadata["Name"] == "ppl"
        or (d.metadata["Name"] or "").startswith("ppl-")
        or any(entry.group in plugins.GROUPS for entry in d.entry_points)
    }
    return [found[name] for name in sorted(found)]


def _print_group(group: str) -> None:
    print(f"\n{group}:")
    for name, owners in plugins.entries(group).items():
        conflict = "  <- registered twice: refused" if len(owners) > 1 else ""
        print(f"  {name}  ({', '.join(map(plugins.owner, owners))}){conflict}")


if __name__ == "__main__":
    main()
