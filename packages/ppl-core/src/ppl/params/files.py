"""Parameter files: plain tensors and constraint names, nothing that could be executed.

The file is written by ``torch.save`` and read with ``weights_only=True``: a dict with the keys
``format``, ``version``, ``params`` (name to unconstrained tensor) and ``constraints`` (name to a
nested list of constraint names and arguments, see :mod:`~ppl.params.constraint_spec`).
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

from ..errors import FileFormatError
from .constraint_spec import from_spec, to_spec
from .pyro_files import execute_and_load

_FORMAT, _VERSION = "ppl-params", 1


def save_state(state: Mapping[str, Mapping[str, Any]], filename: str | os.PathLike[str]) -> None:
    """Write a state of the store to a file that appears whole or not at all."""
    contents = {
        "format": _FORMAT,
        "version": _VERSION,
        "params": dict(state["params"]),
        "constraints": {name: to_spec(name, c) for name, c in state["constraints"].items()},
    }
    write_atomically(contents, filename)


def write_atomically(contents: Any, filename: str | os.PathLike[str]) -> None:
    """``torch.save`` to a temporary file beside the target, then rename it.

    The target keeps its permissions; a new one gets those of any new file.
    """
    target = os.path.realpath(filename)
    temporary = os.path.join(os.path.dirname(target), f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            with suppress(FileNotFoundError):
                shutil.copymode(target, temporary)  # before there is anything to read
            torch.save(contents, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def load_state(
    filename: str | os.PathLike[str], map_location: Any = None, trust: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the state in a file, or raise a FileFormatError.

    Args:
        filename: A file of :func:`save_state`; or one of Pyro, if it is trusted.
        map_location: Where to put the tensors, as in ``torch.load``.
        trust: Whether a file that is no plain data may be unpickled, and so execute code.
    """
    try:
        contents = read_plain(filename, map_location)
    except FileFormatError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            raise
        if trust:
            return execute_and_load(filename, map_location)
        raise FileFormatError(
            f"{error}; if it is a file of Pyro and you trust who made it, load it with trust=True, "
            "which executes any code in the file, and save it again"
        ) from error.__cause__
    return _state(contents, filename)


def _state(contents: Any, filename: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    check_format(contents, filename, _FORMAT, _VERSION, "not a parameter file of ppl")
    params: Any = contents.get("params")
    specs: Any = contents.get("constraints")
    if not _are_complete(params, specs):
        raise FileFormatError(
            f"{os.fspath(filename)!r} is damaged: it must hold a tensor and a constraint for each "
            "parameter"
        )
    return {"params": params, "constraints": {n: from_spec(n, spec) for n, spec in specs.items()}}


def _are_complete(params: Any, specs: Any) -> bool:
    """Whether there are a tensor and a constraint of each name."""
    if not (isinstance(params, dict) and isinstance(specs, dict) and params.keys() == specs.keys()):
        return False
    return all(isinstance(leaf, torch.Tensor) for leaf in params.values())


def check_format(
    contents: Any,
    filename: str | os.PathLike[str],
    name: str,
    version: int,
    otherwise: str,
    cure: str = "upgrade ppl-core",
) -> None:
    """Check that contents begin with a format and a version.

    Args:
        contents: What :func:`read_plain` returned.
        filename: Where they are from.
        name: Of the format.
        version: The one that is read.
        otherwise: What the file is, if it has another format.
        cure: What to do about another version.

    Raises:
        FileFormatError: If they are anything else.
    """
    if not isinstance(contents, dict) or contents.get("format") != name:
        raise FileFormatError(f"{os.fspath(filename)!r} is {otherwise}")
    found = contents.get("version")
    if found != version:
        raise FileFormatError(
            f"{os.fspath(filename)!r} has format version {found}, this ppl reads {version}; {cure}"
        )


def read_plain(filename: str | os.PathLike[str], map_location: Any = None) -> Any:
    """``torch.load`` of plain containers and tensors only.

    Raises:
        FileFormatError: If the file is truncated, of another kind, or holds anything else.
    """
    try:
        return torch.load(filename, map_location=map_location, weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise FileFormatError(
            f"{os.fspath(filename)!r} cannot be read as plain tensors: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    found = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return f"it holds objects that could execute code ({found[1]})"
    return f"it is truncated or of another kind ({type(error).__name__})"
