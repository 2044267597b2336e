"""``check``: find what is wrong with a model and its guide before inference does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ppl.poutine as poutine

from ..poutine.condition_messenger import ConditionMessenger
from ..poutine.messenger import _BoundMessenger
from ..poutine.program_errors import require_program
from .failures import failure, scoring_failures
from .gradients import model_gradients, pair_gradients
from .needs import Needs, StartMessenger, guide_needs, model_needs, needs_of
from .pairs import guide_findings, pair_findings
from .report import Finding, Report, find
from .runs import Program, Run, isolated, own_copies, run, seeded_runs
from .sites import impossible_sites, site_findings
from .structure import changes

_HARMLESS = {"PPL106", "PPL401", "PPL402", "PPL403", "PPL407", "PPL501", "PPL502", "PPL601"}


@dataclass(frozen=True)
class Check:
    """Finds what is wrong with a model, and with a guide for it.

    ``check(model, guide, *args, **kwargs)`` runs both a few times with different draws, with the
    arguments of the model, and returns a :class:`~ppl.checker.report.Report`. All arguments after
    the guide belong to the model, so what an algorithm needs is said before:
    ``check.for_("NUTS")(model, None, *args)``. If none is named, what every algorithm needs is
    checked, and of a guide what SVI with ``Trace_ELBO`` needs.

    A broken model is a finding and no exception. Random generators and the parameter store are left
    as they were, and modules are checked on copies. :data:`ppl.checker.codes.CODES` is the table of
    what can be found.

    Args:
        needs: What the algorithm needs.
        num_runs: From how many seeds it draws. Each gives two runs: as drawn, and with all latent
            draws reflected about their means, further from one seed to the next.

    Example:
        >>> import torch
        >>> from torch.distributions import Gamma
        >>> from ppl.primitives import sample
        >>> def model(data):
        ...     sample("x", Gamma(torch.tensor(1.0), 1.0), obs=data)
        >>> report = check(model, None, torch.tensor(-1.0))
        >>> report.ok, [(finding.code, finding.site) for finding in report]
        (False, [('PPL301', 'x')])
    """

    needs: Needs = Needs()
    num_runs: int = 3

    def for_(self, algorithm: Any) -> Check:
        """Return the check for an algorithm.

        Args:
            algorithm: Its name, such as ``"NUTS"`` or ``"TraceMeanField_ELBO"``, its class, or an
                object, which may have an attribute ``needs`` of type
                :class:`~ppl.checker.needs.Needs`.

        Raises:
            SiteError: If nothing is known of the algorithm.
        """
        return Check(needs_of(algorithm), self.num_runs)

    def __call__(
        self, model: Program, guide: Program | None = None, /, *args: Any, **kwargs: Any
    ) -> Report:
        """Return what is wrong with a model, and with a guide if there is one.

        Args:
            model: The model.
            guide: A guide with the same arguments.
            args: The arguments of both.
            kwargs: Their keyword arguments.

        Raises:
            SiteError: If ``model`` or ``guide`` is not callable.
        """
        require_program("model", model)
        if guide is not None:
            require_program("guide", guide)
        with isolated():
            findings = self._findings(*own_copies((model, guide)), args, kwargs)
            found: dict[tuple[str, str | None], Finding] = {}
            for finding in _until_failure(findings):
                found.setdefault((finding.code, finding.site), finding)
        return Report(found.values(), self._tried(guide))

    def _tried(self, guide: Program | None) -> str:
        programs = "the model" if guide is None else "model and guide"
        return (
            f"{2 * self.num_runs} runs of {programs} (seeds 0 to {self.num_runs - 1}, as drawn and "
            "reflected about the means)"
        )

    def _findings(
        self, model: Program, guide: Program | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Finding]:
        """Find what is wrong, the most basic first; what rests on something broken is left out."""
        runs = seeded_runs(model, args, kwargs, self.num_runs)
        found = [*_in_runs(runs), *model_needs(self.needs, runs[-1])]
        found += _unknown_conditions(model, runs[-1])
        if self.needs.continuous and not found:
            found += self._start_findings(model, args, kwargs)
        yield from found
        if not _are_grave(found):
            yield from model_gradients(model, runs[0], args, kwargs, guide is None)
        if guide is not None and runs[-1].error is None:
            yield from self._guide_findings(model, guide, runs[0], args, kwargs, _are_grave(found))

    def _start_findings(
        self, model: Program, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Finding]:
        """Find what keeps gradient-based samplers from starting."""
        return _in_runs(seeded_runs(StartMessenger()(model), args, kwargs, self.num_runs))

    def _guide_findings(
        self,
        model: Program,
        guide: Program,
        first: Run,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        model_is_broken: bool,
    ) -> Iterator[Finding]:
        runs = seeded_runs(guide, args, kwargs, self.num_runs)
        found = [*_in_runs(runs), *guide_needs(self.needs, runs[-1])]
        if runs[-1].error is None:
            found += [*guide_findings(runs[0]), *pair_findings(first, runs[0])]
        yield from found
        if not model_is_broken and not _are_grave(found):
            yield from _replayed(model, runs, args, kwargs)


def _until_failure(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Find an exception too: distributions and gradients may raise it when they are looked at."""
    try:
        yield from findings
    except Exception as error:
        yield failure(error)


def _in_runs(runs: list[Run]) -> Iterator[Finding]:
    """Find what is wrong within runs of one program, and what changes between them."""
    if runs[-1].error is not None:
        yield failure(runs[-1].error, "" if len(runs) == 1 else runs[-1].draws)
        return
    for each in runs:
        yield from scoring_failures(each)
        yield from site_findings(each)
    yield from changes(runs)
    yield from impossible_sites(runs)


def _replayed(
    model: Program, guides: list[Run], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Finding]:
    """Find what is wrong with a model at the draws of its guide."""
    models = [run(poutine.replay(model, trace=guide.trace), args, kwargs) for guide in guides]
    found = list(_in_runs(models))
    yield from found
    if not _are_grave(found):
        for model_run, guide_run in zip(models, guides, strict=True):
            yield from pair_gradients(model_run, guide_run)


def _are_grave(findings: list[Finding]) -> bool:
    """Whether findings make it pointless to look further."""
    return any(finding.code not in _HARMLESS for finding in findings)


def _unknown_conditions(model: Program, run: Run) -> Iterator[Finding]:
    """Find the data of enclosing ``condition`` handlers that no site takes up."""
    while run.error is None and isinstance(model, _BoundMessenger):
        data = getattr(model.messenger, "data", None)
        if isinstance(model.messenger, ConditionMessenger) and isinstance(data, Mapping):
            for name in data.keys() - run.trace.nodes.keys():
                yield find("PPL106", name, f"it has {sorted(run.sites)}", None)
        model = model.fn


check: Check = Check()
