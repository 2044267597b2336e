"""Why a point has no density: invalid parameters, exceptions of the model, what is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import NotFiniteError, PPLError, SupportError
from ppl.infer.mcmc.target.parameters import invalid_parameters
from ppl.lines import line_of_error, quote
from ppl.poutine.util import site_is_data

_OF_POINTS = (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError)
_OF_PROGRAMS = (NotImplementedError, RecursionError, torch.OutOfMemoryError)


def is_of_point(error: BaseException) -> bool:
    """Return whether an exception of a model may come from the values of its sites.

    Then the point has no density, and another one may have.  Other exceptions, such as a
    ``NameError``, tell of a mistake in the program.
    """
    if isinstance(error, PPLError):
        cause = error.__cause__
        is_of_values = isinstance(error, (NotFiniteError, SupportError))
        return is_of_values or (cause is not None and is_of_point(cause))
    return isinstance(error, _OF_POINTS) and not isinstance(error, _OF_PROGRAMS)


def is_numerical(error: BaseException) -> bool:
    """Return whether an exception is of those that values cause, and hardly anything else."""
    kinds = (ArithmeticError, torch.linalg.LinAlgError, ValueError)  # type: ignore[attr-defined]
    return isinstance(error, kinds)


def described(error: BaseException) -> str:
    """Return an exception as one line, with the line of the model that it came from."""
    line, text = line_of_error(error), str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" + (f", at {quote(line)}" if line else "")


def faults_of(run: Callable[[], poutine.Trace], nesting: int | None = None) -> list[str]:
    """Return why an execution of a model has no density, the first kind of reason that there is.

    Args:
        run: Executes the model, without validation.
        nesting: The number of batch dimensions of plates, if the model enumerates sites.
    """
    try:
        trace = run()
        found = [
            f"parameter {parameter!r} of site {name!r} is not {wanted}"
            for name, site in sample_sites(trace)
            for parameter, wanted in invalid_parameters(site, nesting)
        ]
        return found or _not_finite(trace, nesting)
    except Exception as error:
        if not is_of_point(error):
            raise
        return [described(error)]


def _not_finite(trace: poutine.Trace, nesting: int | None) -> list[str]:
    trace.compute_log_prob()
    sites = sample_sites(trace)
    found = {name: site for name, site in sites if not _is_finite(site["log_prob"], nesting)}
    data = [_infinite_data(name, site) for name, site in found.items() if site_is_data(site)]
    names = [f"the log density of the sites {[*found]} is not finite"] if found else []
    return names + [phrase for phrase in data if phrase]


def _infinite_data(name: str, site: dict[str, Any]) -> str:
    """Say which observations are not finite, or else which parameter that they meet is nan."""
    fn = site["fn"]
    if not site["value"].isfinite().all():
        return f"the observation of site {name!r}: {_count(~site['value'].isfinite())} not finite"
    for parameter in getattr(fn, "arg_constraints", {}):
        value = vars(fn).get(parameter)
        if isinstance(value, Tensor) and value.isnan().any():
            count = _count(value.isnan())
            return f"the parameter {parameter!r} of site {name!r}: {count} nan, so look at the data"
    return ""


def _count(bad: Tensor) -> str:
    where = bad.nonzero()
    verb = "is" if len(where) == 1 else "are"
    return f"{len(where)} of {bad.numel()} values, the first at index {where[0].tolist()}, {verb}"


def _is_finite(log_prob: Tensor, nesting: int | None) -> bool:
    """Whether a log density is finite at the best of the enumerated values."""
    if nesting is not None:
        log_prob = log_prob.amax(tuple(range(log_prob.dim() - nesting)))
    return bool(log_prob.isfinite().all())


def sample_sites(trace: poutine.Trace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over name and site of the sample sites."""
    return ((n, site) for n, site in trace.nodes.items() if site["type"] == "sample")
