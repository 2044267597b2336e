"""Parameter files: plain tensors and constraint names, nothing that could be executed.

The file is written by ``torch.save`` and read with ``weights_only=True``: a dict with the keys
``format``, ``version``, ``params`` (name to unconstrained tensor) and ``constraints`` (name to a
nested list of constraint names and arguments, see :mod:`~ppl.params.constraint_spec`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import FileFormatError
from .constraint_spec import from_spec, to_spec

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
    """``torch.save`` to a temporary file beside the target, then rename it."""
    folder = os.path.dirname(os.path.abspath(filename))
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(contents, file)
        os.replace(temporary, filename)
    except BaseException:
        os.unlink(temporary)
        raise


def load_state(
    filename: str | os.PathLike[str], map_location: Any = None
) -> dict[str, dict[str, Any]]:
    """Return the state in a file, or raise a FileFormatError."""
    contents = read_plain(filename, map_location)
    if not isinstance(contents, dict) or contents.get("format") != _FORMAT:
        raise FileFormatError(f"{os.fspath(filename)!r} is not a parameter file of ppl")
    version = contents.get("version")
    if version != _VERSION:
        raise FileFormatError(
            f"{os.fspath(filename)!r} has format version {version}, this ppl reads {_VERSION}; "
            "upgrade ppl-core"
        )
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
            f"{os.fspath(filename)!r} cannot be read as plain tensors: it is truncated, of another "
            f"kind, or holds objects that could execute code ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''})"
        ) from error
