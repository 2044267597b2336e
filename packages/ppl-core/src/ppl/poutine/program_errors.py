"""What a user reads when a program fails: the line, the sites so far, and the usual cure."""

from __future__ import annotations

from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import torch

from ..errors import SiteTypeError
from ..lines import line_of_error, quote
from . import dtypes
from .runtime import apply_stack

if TYPE_CHECKING:
    from .trace_struct import Trace


def add_context(error: Exception, trace: Trace) -> None:
    """Append cure, line and the shapes of the sites so far to an error of a program, once."""
    if not _is_plain(error) or "Trace Shapes:" in error.args[0]:
        return
    line = line_of_error(error)
    shapes = trace.format_shapes() if len(trace) > 1 else "Trace Shapes: no sites yet"
    parts = [
        error.args[0],
        _site(error),
        _cure(error) or dtypes.cure(error, trace),
        line and f"at {quote(line)}",
        shapes,
    ]
    error.args = ("\n".join(part for part in parts if part),)


def require_program(role: str, program: Any) -> None:
    """Refuse what cannot be run: usually the result of a model in the place of the model.

    Args:
        role: What the program is for, such as ``"model"``.
        program: What was passed.

    Raises:
        SiteTypeError: If ``program`` is not callable, or an algorithm that runs programs.
    """
    if not callable(program) or getattr(type(program), "_runs_programs", False):
        raise SiteTypeError(
            f"the {role} must be a function that makes sample statements, got {program!r}; pass "
            f"the {role} itself, not what it returns: {role} instead of {role}()"
        )


def require_instance(role: str, program: Any) -> None:
    """Refuse a class in the place of a model: a call would make an instance and not run it.

    Args:
        role: What the program is for, such as ``"model"``.
        program: What was passed.

    Raises:
        SiteTypeError: If ``program`` is a class.
    """
    if isinstance(program, type):
        cls = program.__name__
        raise SiteTypeError(f"{role} is the class {cls}: pass an instance, {cls}()")


def _site(error: Exception) -> str:
    """Name the site that could not be drawn, unless the message names it."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    inside = [f.f_locals["msg"] for f in frames if f.f_code is apply_stack.__code__]
    if not inside or repr(inside[-1]["name"]) in error.args[0]:
        return ""
    msg = inside[-1]
    is_drawn = msg["type"] == "sample" and msg["value"] is None and hasattr(msg["fn"], "log_prob")
    if not is_drawn:
        return ""
    found = dtypes.mixture(dtypes.of_distribution(msg["fn"]))
    mixed = f": its parameters have several dtypes ({found})" if found else ""
    return f"site {msg['name']!r} cannot be drawn from {msg['fn']}{mixed}"


def _is_plain(error: Exception) -> bool:
    """Whether an error is its message: the arguments of others are not ours to change."""
    return len(error.args) == 1 and isinstance(error.args[0], str)


def _cure(error: Exception) -> str:
    """Return advice on an error of torch, which cannot know about sites and parameters."""
    is_of_matrix = isinstance(error, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
    if is_of_matrix or "constraint PositiveDefinite" in str(error):
        return "add a small positive number to the diagonal of the matrix, or use float64"
    if str(error).startswith("Expected parameter"):
        return (
            "if it is a parameter: declare it with a constraint; if it became nan: take a smaller "
            "learning rate, or look for the first density or gradient that is not finite"
        )
    return ""
