"""Compile C++ that a distribution ships, once for each machine, and load it."""

from __future__ import annotations

import ctypes
import getpass
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

# vectors by `omp simd` where the source says so, and fused multiply-add where the processor has it;
# no other liberties with arithmetic
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
    """Return the path of a C++ compiler, None if there is none: then nothing can be compiled.

    That of ``$CXX`` comes first.
    """
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl")
    return next(filter(None, map(shutil.which, names)), None)


@cache
def load(source: Path, *headers: Path) -> ctypes.CDLL:
    """Return the library made of a source file and the headers beside it, and in other folders.

    Libraries are kept in :func:`cache_folder`, under a name that says what they were made of and
    for which machine.  Where nothing can be written there, the process compiles for itself.

    Raises:
        OSError: If there is no compiler, or it fails; says what it printed.
    """
    name = f"{source.stem}-{_fingerprint(source, headers)}.so"
    library = cache_folder() / name
    if library.exists():
        try:
            return ctypes.CDLL(str(library))
        except OSError:  # it is damaged, such as by a disk that was full: make it anew
            pass
    library = _writable(library.parent, "PPL_CACHE_DIR") / name
    _compile(source, library, headers)
    return ctypes.CDLL(str(library))


def _compile(source: Path, library: Path, headers: Sequence[Path]) -> None:
    compiler = find_compiler()
    if compiler is None:
        raise OSError("there is no C++ compiler: install one, such as g++ or clang++")
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        unfinished = os.path.join(folder, library.name)
        paths = [f"-I{path}" for path in headers]
        command = [compiler, *FLAGS, *paths, str(source), "-o", unfinished]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{compiler} could not compile {source.name}:\n{done.stderr}")
        os.replace(unfinished, library)  # at once: another process may be doing the same


def _fingerprint(source: Path, headers: Sequence[Path]) -> str:
    folders = dict.fromkeys([source.parent, *headers])
    files = [source, *(file for folder in folders for file in sorted(folder.glob("*.hpp")))]
    machine = (platform.node(), platform.machine(), _processor(), find_compiler())
    text = repr((FLAGS, machine)).encode() + b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(text).hexdigest()[:16]


def _processor() -> str:
    """Return what decides which instructions there are: a home may be that of many machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def cache_folder() -> Path:
    """Return where libraries are kept: ``$PPL_CACHE_DIR``, or ``ppl`` in the user's cache.

    That is ``$XDG_CACHE_HOME/ppl``, by default ``~/.cache/ppl``.  It may be deleted at any time:
    what is missing is compiled anew.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("PPL_CACHE_DIR") or Path(base) / "ppl")


def _writable(folder: Path, variable: str) -> Path:
    """Return a folder, made if need be, or where that cannot be a private one, with a warning."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        warnings.warn(
            f"what is compiled cannot be kept in {folder} ({error.strerror}), so each process "
            f"compiles for itself, which takes long; set ${variable} to a folder to write to",
            stacklevel=2,
        )
        return Path(_private_folder().name)
    return folder


@cache
def check_torch_cache() -> None:
    """Let torch's compiler keep what it makes in a private folder where its own is read-only."""
    variable = "TORCHINDUCTOR_CACHE_DIR"
    user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    default = Path(tempfile.gettempdir()) / f"torchinductor_{user}"
    folder = Path(os.environ.get(variable) or default)
    usable = _writable(folder, variable)
    if usable != folder:
        os.environ[variable] = str(usable)


@cache
def _private_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that lasts as long as the process."""
    return tempfile.TemporaryDirectory(prefix="ppl-")
