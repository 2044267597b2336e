"""Whether every execution of a model has the same latent sites, of the same shapes."""

from __future__ import annotations

from typing import Any

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.lines import quote
from ppl.poutine.site_lines import line_of_site
from ppl.poutine.util import site_is_subsample

Shapes = dict[str, tuple[int, ...] | None]


class StructureError(SiteError):
    """The latent sites of a model, or their shapes, depend on the values of others."""


class Structure:
    """The latent sites of an execution and their shapes, which all executions must have.

    A density on positions of one size is not defined otherwise, and the draws would be those of
    another model.

    Args:
        trace: The execution, without enumeration.
        has_shapes: Whether shapes are compared; those of an enumerated execution are others.
    """

    def __init__(self, trace: poutine.Trace, has_shapes: bool) -> None:
        self.trace = trace
        self.has_shapes = has_shapes
        self.shapes: Shapes = self._shapes_of(trace)

    def check(self, trace: poutine.Trace) -> None:
        """Check another execution.

        Raises:
            StructureError: If it has other sites or shapes; names one, and its line.
        """
        found = self._shapes_of(trace)
        if found == self.shapes:
            return
        for name in [*self.shapes, *found]:
            if name not in found or name not in self.shapes:
                has_it = trace if name in found else self.trace
                raise StructureError(_comes_and_goes(name, has_it), site=name)
            if found[name] != self.shapes[name]:
                shapes = self.shapes[name], found[name]
                raise StructureError(_changes_shape(name, shapes, trace), site=name)

    def _shapes_of(self, trace: poutine.Trace) -> Shapes:
        return {
            name: self._shape_of(site)
            for name, site in trace.iter_stochastic_nodes()
            if not site_is_subsample(site)
        }

    def _shape_of(self, site: dict[str, Any]) -> tuple[int, ...] | None:
        return tuple(site["fn"].shape()) if self.has_shapes else None


def _comes_and_goes(name: str, trace: poutine.Trace) -> str:
    return (
        f"latent site {name!r} exists only at some values of the other sites"
        f"{_line(trace, name)}; HMC and NUTS need the same sites in every execution: make the "
        "statement outside of the branch, and choose with torch.where(condition, ..., ...) what "
        "depends on it; or make the choice a discrete site, which is summed out"
    )


def _changes_shape(name: str, shapes: tuple[Any, Any], trace: poutine.Trace) -> str:
    return (
        f"latent site {name!r} has shape {shapes[0]} in one execution and {shapes[1]} in another"
        f"{_line(trace, name)}; HMC and NUTS need the same shapes in every execution: sample the "
        "largest shape, and leave out with torch.where or poutine.mask what does not count"
    )


def _line(trace: poutine.Trace, name: str) -> str:
    line = line_of_site(trace, name)
    return f", at {quote(line)}" if line else ""
