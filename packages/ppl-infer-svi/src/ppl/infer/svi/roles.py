"""Whether the arguments of SVI stand in their places."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ppl.errors import SiteError
from ppl.infer.elbo import ELBO
from ppl.optim import PyroOptim
from ppl.poutine.program_errors import require_program

_ORDER = "the order is SVI(model, guide, optim, loss)"


def check_roles(model: Any, guide: Any, optim: Any, loss: Any) -> None:
    """Refuse arguments of SVI that are in each other's place, or are classes.

    Raises:
        SiteError: The message says what to write.
    """
    for role, program in (("model", model), ("guide", guide)):
        if _is_optimizer(program) or _is_loss(program):
            raise SiteError(f"the {role} must be a function, got {program!r}; {_ORDER}")
        require_program(role, program)
        if isinstance(program, type):
            takes = "model" if role == "guide" else ""
            raise SiteError(
                f"the {role} is a class; pass an instance of it: {program.__name__}({takes})"
            )
    if getattr(model, "model", None) is guide:
        raise SiteError(
            f"the model {model!r} is a guide that was made from the guide {guide!r}; {_ORDER}"
        )
    if _is_loss(optim):
        raise SiteError(f"optim must be an optimizer, got {optim!r}; {_ORDER}")
    _check_optimizer(optim)
    if _is_optimizer(loss):
        raise SiteError(f"loss must be an ELBO, got {loss!r}; {_ORDER}")


def _check_optimizer(optim: Any) -> None:
    if isinstance(optim, torch.optim.Optimizer) or not callable(optim):
        raise SiteError(
            f"optim must be an optimizer of ppl.optim, which finds new parameters itself, got "
            f"{optim!r}; use ppl.optim.Adam(dict(lr=0.01)), or "
            "ppl.optim.PyroOptim(torch.optim.Adam, dict(lr=0.01))"
        )
    is_factory = inspect.isfunction(optim) and optim.__module__.startswith("ppl.optim")
    if is_factory or isinstance(optim, type):
        name = getattr(optim, "__name__", "Adam")
        raise SiteError(f"optim must be an optimizer, got {optim!r}; use ppl.optim.{name}(lr=0.01)")


def _is_optimizer(x: Any) -> bool:
    return isinstance(x, (PyroOptim, torch.optim.Optimizer))


def _is_loss(x: Any) -> bool:
    return isinstance(x, ELBO) or (isinstance(x, type) and issubclass(x, ELBO))
