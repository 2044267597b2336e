"""Small helpers for programs and algorithms: seeds, checks, warnings."""

from __future__ import annotations

import timeit
import typing as _typing
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from ppl.plugins import misspelt as _misspelt

from .errors import PPLWarning
from .matching import check_if_enumerated as check_if_enumerated
from .matching import check_model_guide_match as check_model_guide_match
from .matching import check_site_shape as check_site_shape
from .matching import check_traceenum_requirements as check_traceenum_requirements
from .matching import check_traces_match as check_traces_match
from .not_finite import torch_isinf as torch_isinf
from .not_finite import torch_isnan as torch_isnan
from .not_finite import warn_if_inf as warn_if_inf
from .not_finite import warn_if_nan as warn_if_nan
from .randomness import get_rng_state as get_rng_state
from .randomness import set_rng_seed as set_rng_seed
from .randomness import set_rng_state as set_rng_state
from .visualization import save_visualization as save_visualization

TRACER_WARNING: type[Warning] = torch.jit.TracerWarning  # type: ignore[attr-defined]


class ExperimentalWarning(PPLWarning):
    """Something may change without notice."""


@contextmanager
def ignore_experimental_warning() -> Iterator[None]:
    """Keep :class:`ExperimentalWarning` quiet inside a ``with`` block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


@contextmanager
def ignore_jit_warnings(
    filter: Sequence[str | tuple[str, type[Warning]]] | None = None,
) -> Iterator[None]:
    """Keep the warnings of torch's tracer quiet inside a ``with`` block.

    Args:
        filter: Which ones: patterns of their messages, or pairs of a pattern and a category of
            warnings; default: all of the tracer's.
    """
    with warnings.catch_warnings():
        for entry in [""] if filter is None else filter:
            pair = (entry, TRACER_WARNING) if isinstance(entry, str) else entry
            warnings.filterwarnings("ignore", *pair)
        yield


def jit_iter(tensor: Tensor) -> list[Tensor]:
    """Return the elements of a tensor along its first dimension, without a warning of the tracer.

    Example:
        >>> jit_iter(torch.arange(2))
        [tensor(0), tensor(1)]
    """
    with ignore_jit_warnings():
        return list(tensor)


class optional(AbstractContextManager[Any]):
    """A context manager that is entered only if a condition holds.

    Args:
        context_manager: What to enter.
        condition: Whether to.

    Example:
        >>> with optional(torch.no_grad(), True):
        ...     torch.is_grad_enabled()
        False
    """

    def __init__(self, context_manager: AbstractContextManager[Any], condition: bool) -> None:
        self.context_manager = context_manager
        self.condition = condition

    def __enter__(self) -> Any:
        return self.context_manager.__enter__() if self.condition else None

    def __exit__(self, *exception: Any) -> bool | None:
        return self.context_manager.__exit__(*exception) if self.condition else None


def torch_float(x: Tensor | float) -> Tensor | float:
    """Return a tensor as float32, a number as a float.

    Example:
        >>> torch_float(torch.tensor(2)), torch_float(2)
        (tensor(2.), 2.0)
    """
    return x.float() if isinstance(x, Tensor) else float(x)


class timed:
    """Measures how long a ``with`` block takes: ``start``, ``end`` and ``elapsed``, in seconds."""

    start: float
    end: float
    elapsed: float

    def __enter__(self) -> timed:
        self.start = timeit.default_timer()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.end = timeit.default_timer()
        self.elapsed = self.end - self.start


if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
