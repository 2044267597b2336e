"""Parameter files of Pyro: pickles, which may call what they like while they are read.

They hold the unconstrained tensors, and constraints as objects. Those of torch are torch's here
too; a class from a module of Pyro has its namesake at the same path below ``ppl``.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

import torch
from torch.distributions.constraints import Constraint

from ..errors import FileFormatError
from .constraint_spec import canonical


def execute_and_load(
    filename: str | os.PathLike[str], map_location: Any = None
) -> dict[str, dict[str, Any]]:
    """Return the state that Pyro's store wrote to a file.

    Raises:
        FileFormatError: If the file holds anything else, which was executed all the same.
    """
    this_module = sys.modules[__name__]
    try:
        state = torch.load(
            filename, map_location=map_location, pickle_module=this_module, weights_only=False
        )
    except Exception as error:
        raise FileFormatError(
            f"{os.fspath(filename)!r} cannot be unpickled ({type(error).__name__}: {error}); is "
            "everything installed that wrote it, and ppl-distributions?"
        ) from error
    if not _is_state(state):
        raise FileFormatError(f"{os.fspath(filename)!r} is not a parameter file of Pyro")
    constraints = {name: canonical(name, kept) for name, kept in state["constraints"].items()}
    return {"params": state["params"], "constraints": constraints}


def _is_state(state: Any) -> bool:
    contents: dict[str, Any] = state if isinstance(state, dict) else {}
    params: Any = contents.get("params")
    constraints: Any = contents.get("constraints")
    if not (_holds(params, torch.Tensor) and _holds(constraints, Constraint)):
        return False
    return bool(params.keys() == constraints.keys())


def _holds(known: Any, kind: type) -> bool:
    return isinstance(known, dict) and all(isinstance(value, kind) for value in known.values())


# what torch.load wants of a pickle module


class Unpickler(pickle.Unpickler):
    """Looks for the classes of Pyro among ours."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name.startswith("pyro."):
            module_name = "ppl." + module_name.removeprefix("pyro.")
        return super().find_class(module_name, global_name)


def load(file: Any, **options: Any) -> Any:
    """Return the next object in a file, as ``pickle.load`` does."""
    return Unpickler(file, **options).load()
