"""Compile C++ that a distribution ships, once for each machine, and load it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

# vectors by `omp simd` where the source says so; no other liberties with arithmetic
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-shared",
    "-fPIC",
)


def find_compiler() -> str | None:
    """Return the path of a C++ compiler, None if there is none: then nothing can be compiled."""
    return next(filter(None, map(shutil.which, ("c++", "g++", "clang++", "cl"))), None)


@cache
def load(source: Path) -> ctypes.CDLL:
    """Return the library made of a source file and the headers beside it.

    Libraries are kept in ``$PPL_CACHE_DIR``, by default ``$XDG_CACHE_HOME/ppl`` or
    ``~/.cache/ppl``, under a name that says what they were made of and for which machine.

    Raises:
        OSError: If there is no compiler, or it fails; says what it printed.
    """
    library = _cache_folder() / f"{source.stem}-{_fingerprint(source)}.so"
    if not library.exists():
        _compile(source, library)
    return ctypes.CDLL(str(library))


def _compile(source: Path, library: Path) -> None:
    compiler = find_compiler()
    if compiler is None:
        raise OSError("there is no C++ compiler: install one, such as g++ or clang++")
    handle, unfinished = tempfile.mkstemp(dir=library.parent, suffix=".so")
    os.close(handle)
    done = subprocess.run(
        [compiler, *FLAGS, str(source), "-o", unfinished], capture_output=True, text=True
    )
    if done.returncode:
        os.unlink(unfinished)
        raise OSError(f"{compiler} could not compile {source.name}:\n{done.stderr}")
    os.replace(unfinished, library)  # at once: another process may be doing the same


def _fingerprint(source: Path) -> str:
    files = sorted([source, *source.parent.glob("*.hpp")])
    machine = (platform.node(), platform.machine(), platform.processor(), find_compiler())
    text = repr((FLAGS, machine)).encode() + b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(text).hexdigest()[:16]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("PPL_CACHE_DIR") or Path(base) / "ppl")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
