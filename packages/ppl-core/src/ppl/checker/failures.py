"""Exceptions as findings."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .. import errors
from ..lines import line_of_error
from .report import Finding, find
from .runs import Run

# the first class that fits decides
_RUNNING: tuple[tuple[type[Exception], str], ...] = (
    (errors.DuplicateSiteError, "PPL101"),
    (errors.PlateError, "PPL205"),
    (errors.SubsampleError, "PPL207"),
    (errors.ShapeError, "PPL201"),
    (errors.SupportError, "PPL503"),
    (errors.NotFiniteError, "PPL302"),
    (errors.MissingSiteError, "PPL504"),
    (errors.SiteError, "PPL102"),
    (torch.linalg.LinAlgError, "PPL306"),  # type: ignore[attr-defined]
)
_SCORING: tuple[tuple[type[Exception], str], ...] = (
    (errors.SubsampleError, "PPL207"),
    (errors.ShapeError, "PPL203"),
    (errors.SupportError, "PPL301"),
    (errors.NotFiniteError, "PPL306"),
    (errors.SiteError, "PPL102"),
)


def failure(error: Exception, draws: str = "") -> Finding:
    """Return the finding about the exception that ended a run.

    Args:
        error: The exception.
        draws: Which draws the run was made with, if runs with others went through.
    """
    site = _site_of(error)
    detail = _first_line(error) + (f"; not in all runs, but with {draws}" if draws else "")
    return find(_running_code(error, site), site, detail, line_of_error(error))


def scoring_failures(run: Run) -> Iterator[Finding]:
    """Find the sites that cannot be scored."""
    for error in run.scoring_errors:
        site = _site_of(error)
        code = next((code for cls, code in _SCORING if isinstance(error, cls)), "PPL001")
        yield find(code, site, _first_line(error), run.lines.get(site or ""))


def _site_of(error: Exception) -> str | None:
    return error.site if isinstance(error, errors.PPLError) else None


def _running_code(error: Exception, site: str | None) -> str:
    if isinstance(error, errors.PPLError) and site is None:
        return "PPL001"  # about something else than a statement of the program
    if str(error).startswith("Expected parameter"):
        return "PPL305"  # torch refuses the arguments of a distribution
    return next((code for cls, code in _RUNNING if isinstance(error, cls)), "PPL001")


def _first_line(error: Exception) -> str:
    """Return the message without the site, which the finding names, and without the shapes."""
    text = str(error).partition("\n")[0]
    text = text if isinstance(error, errors.PPLError) else f"{type(error).__name__}: {text}"
    return text.partition("cannot be computed: ")[2] or text
