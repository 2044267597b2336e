"""``python -m ppl``: what a bug report needs."""

from __future__ import annotations

import argparse
import os
import platform
from collections import Counter
from collections.abc import Iterator
from importlib import metadata

import torch

from . import foreign, plugins
from .engine.cpp_library import cache_folder, find_compiler

LIBRARIES = ("torch", "numpy", "scipy", "opt_einsum", "tqdm", "matplotlib", "arviz")


def main(arguments: list[str] | None = None) -> None:
    """Print versions, threads, compiler, caches and plugins; with ``--all`` each plugin by name."""
    parser = argparse.ArgumentParser(prog="python -m ppl", description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="list the plugins of ppl itself, too")
    show_all = parser.parse_args(arguments).all
    for line in (*_machine(), *_versions(), *_plugins(show_all)):
        print(line)


def _machine() -> Iterator[str]:
    yield f"Python {platform.python_version()}, {platform.platform()}"
    yield f"CUDA {torch.version.cuda if torch.cuda.is_available() else 'not available'}"
    yield f"{torch.get_num_threads()} threads, {os.cpu_count()} processors"
    yield f"C++ compiler {find_compiler() or 'not found: nothing is compiled'}"
    yield f"compiled programs in {cache_folder()} and {_cache_of_torch()}"


def _cache_of_torch() -> str:
    from torch._inductor.runtime.cache_dir_utils import cache_dir  # a second to import

    return str(cache_dir())


def _versions() -> Iterator[str]:
    yield ""
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} not installed"
    for name, version in _distributions():
        mark = "  <- another project's: uninstall it" if name == foreign.DISTRIBUTION else ""
        yield f"{name} {version}{mark}"


def _distributions() -> list[tuple[str, str]]:
    """Return name and version of all of ours, and of all that register a plugin."""
    return sorted(
        {
            (d.metadata["Name"], d.version)
            for d in metadata.distributions()
            if d.metadata["Name"] in (*plugins.DISTRIBUTIONS, foreign.DISTRIBUTION)
            or any(entry.group in plugins.GROUPS for entry in d.entry_points)
        }
    )


def _plugins(show_all: bool) -> Iterator[str]:
    yield from ("", "plugins")
    for group in plugins.GROUPS:
        entries = plugins.entries(group)
        owners = {name: tuple(map(plugins.owner, found)) for name, found in entries.items()}
        counts = Counter(owner for some in owners.values() for owner in some)
        summary = ", ".join(f"{count} of {owner}" for owner, count in counts.items())
        yield f"{group}: {summary or 'none'}"
        for name, some in owners.items():
            if show_all or len(some) > 1 or some[0] not in plugins.DISTRIBUTIONS:
                conflict = "  <- registered twice: refused" if len(some) > 1 else ""
                yield f"  {name}  ({', '.join(some)}){conflict}"


if __name__ == "__main__":
    main()
