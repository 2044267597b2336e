"""Every exception and warning that ppl raises on purpose.

Each derives from :class:`PPLError` and from the builtin that a caller would expect, so that
``except ValueError`` keeps working and ``except PPLError`` catches all of ours.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from .lines import is_library


class PPLError(Exception):
    """Base class of all errors of ppl.

    Args:
        args: The message.
        site: The name of the site, plate or parameter that the error is about.
    """

    def __init__(self, *args: Any, site: str | None = None) -> None:
        super().__init__(*args)
        self.site = site


class ShapeError(PPLError, ValueError):
    """A tensor has another shape than its site, plate or parameter needs."""


class BroadcastError(ShapeError, RuntimeError):
    """Shapes that have to agree but for sizes of 1 do not; a RuntimeError, as torch's is."""


class SubsampleError(ShapeError):
    """A tensor has the size of a whole plate where the plate uses a part of its elements."""


class SupportError(PPLError, ValueError):
    """A value lies outside the support of its distribution or constraint."""


class PlateError(PPLError, ValueError):
    """A plate is declared or used in a way that has no meaning."""


class DuplicateSiteError(PPLError, RuntimeError):
    """Two sites of one execution share a name."""


class MissingSiteError(PPLError, KeyError):
    """A site, parameter or value that was asked for does not exist."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class SiteError(PPLError, ValueError):
    """A primitive statement was called with arguments that make no sense together."""


class ArgumentError(PPLError, ValueError):
    """An argument of an algorithm is out of range, or does not fit the others."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument is of another kind than is needed, or there is none of this name."""


class SiteTypeError(SiteError, ArgumentTypeError):
    """An argument of a statement or handler is of the wrong kind, or there is none of its name."""


class DtypeError(SiteError, TypeError, RuntimeError):
    """Tensors of different dtypes meet where torch does not convert them."""


class NotRunError(PPLError, RuntimeError, ValueError):
    """A result was asked for before the run that it comes from."""


class UnsupportedConstraintError(SupportError, NotImplementedError):
    """No numbers that gradients could move are mapped to the values that fulfil a constraint."""


class UnsupportedModelError(PPLError, NotImplementedError, ValueError):
    """A model that the algorithm cannot run, whatever the arguments."""


class NotFiniteError(PPLError, ValueError):
    """A density, gradient or parameter is nan or infinite where it must be finite."""


class IntractableError(PPLError, NotImplementedError):
    """An exact computation would cost exponentially much."""


class FileFormatError(PPLError, ValueError):
    """A file is not what it should be: truncated, of another kind, or able to execute code."""


class MissingDistributionError(PPLError, ModuleNotFoundError):
    """A name is known but the distribution that provides it is not installed."""


class AbsentAttributeError(PPLError, AttributeError):
    """An attribute is known but the distribution that provides it is not installed.

    An AttributeError, so that ``hasattr`` answers; the import of the name raises
    :class:`MissingDistributionError`.
    """


class UnknownPluginError(PPLError, LookupError):
    """No installed distribution registers the name."""


class DuplicatePluginError(PPLError, LookupError):
    """Two installed distributions register the same name."""


class PluginLoadError(PPLError, ImportError):
    """A registered object cannot be imported."""


class PPLWarning(UserWarning):
    """Base class of all warnings of ppl."""


def warn(message: str, category: type[Warning] = PPLWarning) -> None:
    """Issue a warning that points at the first line outside ppl and torch: the user's line."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and is_library(frame.f_globals):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth + 1)
