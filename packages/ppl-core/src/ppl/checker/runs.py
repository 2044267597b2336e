"""Executions of a program for a check: without side effects, and never raising."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import torch

import ppl.poutine as poutine

from ..lines import line_of_call
from ..poutine.messenger import Messenger
from ..poutine.trace_struct import Site, Trace
from ..poutine.util import site_is_subsample
from ..primitives import get_param_store, param_store
from ..util import get_rng_state, set_rng_seed, set_rng_state
from ..validation import validation_enabled
from .draws import MirrorMessenger

Program = Callable[..., Any]
Programs = TypeVar("Programs", bound=tuple[Program | None, ...])


@dataclass
class Run:
    """One execution: its trace as far as it went, the line of each site, the error at its end.

    ``scoring_errors`` are those of the sites that could not be scored. ``draws`` says which draws
    the run was made with.
    """

    trace: Trace
    lines: dict[str, str | None]
    error: Exception | None = None
    scoring_errors: list[Exception] = field(default_factory=list)
    draws: str = ""

    @property
    def sites(self) -> dict[str, Site]:
        """The sample sites by name, without the subsamples of plates."""
        nodes = self.trace.nodes.items()
        return {
            name: site
            for name, site in nodes
            if site["type"] == "sample" and not site_is_subsample(site)
        }

    @property
    def latent(self) -> dict[str, Site]:
        """The sites that inference is about."""
        return {
            name: site
            for name, site in self.sites.items()
            if not (site["is_observed"] or site["infer"].get("is_auxiliary"))
        }

    @property
    def params(self) -> dict[str, Site]:
        """The param statements by name."""
        return {name: self.trace.nodes[name] for name in self.trace.param_nodes}


def run(program: Program, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
    """Return the record of an execution, with all sites scored that can be."""
    traced = poutine.trace(program)
    recorder = _LineRecorder()
    try:
        with recorder, torch.enable_grad():
            trace = traced.get_trace(*args, **kwargs)
    except Exception as error:
        return Run(traced.trace, recorder.lines, error)
    return Run(trace, recorder.lines, None, _score(trace))


def _score(trace: Trace) -> list[Exception]:
    errors: list[Exception] = []
    for name in list(trace.nodes):
        try:
            trace.compute_log_prob(partial(_is_named, name))
        except Exception as error:
            errors.append(error)
    return errors


def _is_named(wanted: str, name: str, site: Site) -> bool:
    return name == wanted


class _LineRecorder(Messenger):
    """Notes the line of the user's program that makes each statement."""

    def __init__(self) -> None:
        self.lines: dict[str, str | None] = {}

    def _process_message(self, msg: Any) -> None:
        if msg["type"] in ("sample", "param"):
            self.lines.setdefault(msg["name"], line_of_call())


@contextmanager
def isolated() -> Iterator[None]:
    """Leave generators, parameters and warnings as they were before a ``with`` block."""
    state, store = get_rng_state(), get_param_store()
    constraints = store.get_state()["constraints"]
    try:
        with warnings.catch_warnings(), validation_enabled(), param_store() as own:
            warnings.simplefilter("ignore")
            for name, leaf in store.named_parameters():  # the leaves themselves, as modules do
                own.adopt(name, leaf, constraints[name])
            yield
    finally:
        set_rng_state(state)


def own_copies(programs: Programs) -> Programs:
    """Return copies of programs that have a state, such as modules; functions are their own."""
    with suppress(Exception):  # what cannot be copied is used as it is
        return copy.deepcopy(programs)
    return programs


def seeded_runs(
    program: Program, args: tuple[Any, ...], kwargs: dict[str, Any], num_runs: int
) -> list[Run]:
    """Return executions with different draws, up to the first that fails.

    Each of ``num_runs`` seeds gives two: as drawn, and reflected about the means, further from one
    seed to the next.
    """
    runs: list[Run] = []
    for rng_seed in range(num_runs):
        reach = 1.0 + rng_seed
        reflected = f"seed {rng_seed}, deviations from the mean times {-reach:g}"
        for draws, varied in (
            (f"seed {rng_seed}", program),
            (reflected, MirrorMessenger(reach)(program)),
        ):
            set_rng_seed(rng_seed)
            runs.append(replace(run(varied, args, kwargs), draws=draws))
            if runs[-1].error is not None:
                return runs
    return runs
