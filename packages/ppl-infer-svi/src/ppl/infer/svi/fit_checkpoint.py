"""The file from which a fit goes on, bit for bit, after its process was killed.

It holds plain tensors and numbers, appears whole or not at all, and nothing in it is executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl.errors import ArgumentError, FileFormatError
from ppl.params.files import check_format, read_plain, write_atomically

FORMAT, VERSION = "ppl-fit", 1
Contents = dict[str, Any]
Path = str | os.PathLike[str]


def contents_of(leaves: Mapping[str, Tensor], optim: Any, progress: Contents) -> Contents:
    """Return parameters, the state of their optimizer, and the progress of the fit.

    Raises:
        ArgumentError: If the optimizer cannot give its state.
    """
    if not hasattr(optim, "get_state"):
        raise ArgumentError(
            f"checkpoints and restarts need an optimizer with get_state, got {optim!r}"
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "params": {name: leaf.detach().clone() for name, leaf in leaves.items()},
        "optimizer": optim.get_state(),
        **progress,
    }


def write(path: Path, contents: Contents) -> None:
    """Write what :func:`contents_of` returned to a file."""
    write_atomically(_plain(contents), path)


def read(path: Path) -> Contents:
    """Return the contents of a file that :func:`write` wrote.

    Raises:
        FileFormatError: If it is another file.
    """
    contents = read_plain(path)
    check_format(contents, path, FORMAT, VERSION, "not a checkpoint of SVI.fit")
    restored: Contents = _alive(contents)
    return restored


def restore(source: str, contents: Contents, leaves: Mapping[str, Tensor], optim: Any) -> None:
    """Put the parameters into their leaves, and the state into the optimizer.

    Raises:
        FileFormatError: If the file is of another model or guide; nothing is changed then.
    """
    stored: dict[str, Tensor] = contents["params"]
    if (what := _difference(stored, leaves)) is not None:
        raise FileFormatError(
            f"{source!r} is the checkpoint of another model or guide: {what}; use another "
            "path, or remove the file to start anew"
        )
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.copy_(stored[name])
    optim.set_state(contents["optimizer"])


def _difference(stored: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> str | None:
    if missing := sorted(leaves.keys() - stored.keys()):
        return f"it lacks the parameter {missing[0]!r}"
    if extra := sorted(stored.keys() - leaves.keys()):
        return f"it has a parameter {extra[0]!r} that these do not have"
    for name, leaf in leaves.items():
        if (leaf.shape, leaf.dtype) != (stored[name].shape, stored[name].dtype):
            there = f"{tuple(stored[name].shape)} {stored[name].dtype}"
            return f"{name!r} is {there} there, and {tuple(leaf.shape)} {leaf.dtype} here"
    return None


def _plain(x: Any) -> Any:
    """Return containers with tensors in the place of arrays of numpy."""
    if isinstance(x, np.ndarray):
        return {"numpy": torch.from_numpy(x.astype(np.int64)), "dtype": str(x.dtype)}
    if isinstance(x, Mapping):
        return {key: _plain(value) for key, value in x.items()}
    return type(x)(map(_plain, x)) if type(x) in (tuple, list) else x


def _alive(x: Any) -> Any:
    """Undo what :func:`_plain` did."""
    if isinstance(x, dict) and x.keys() == {"numpy", "dtype"}:
        return x["numpy"].numpy().astype(x["dtype"])
    if isinstance(x, dict):
        return {key: _alive(value) for key, value in x.items()}
    return type(x)(map(_alive, x)) if type(x) in (tuple, list) else x
