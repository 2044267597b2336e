"""A model at each of many draws: one after another, or all at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError, warn
from ppl.poutine.messenger import Messenger
from ppl.validation import validation_enabled

Values = dict[str, Tensor]
MOST_NUMBERS = 2**24  # that draws made at once return, if nobody says how many to make


class AtDraw(Messenger):
    """Observes latent sites at the values of one draw; what is deterministic is computed anew.

    Args:
        draw: Values by site, without a dimension of draws.
        labels: Those that the elements of plates had when the values were drawn, by plate. Where
            the program has other labels, elements of the same label have the same values, and new
            ones are drawn.

    Raises:
        ShapeError: If a value does not have the shape of its site.
    """

    def __init__(self, draw: Values, labels: Mapping[str, Sequence[Any]] | None = None) -> None:
        self.draw = draw
        self.labels: Mapping[str, Sequence[Any]] = labels or {}
        self._places: dict[str, list[int]] = {}  # of the elements of changed plates, -1 if new

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if name in self.labels and getattr(msg["fn"], "is_subsample", False):
            self._compare(name, msg["fn"].coords)
        if name in self.draw and not msg["infer"].get("_deterministic"):
            value = self._moved(msg) if self._places else self.draw[name]
            msg["value"] = _fitted(name, value, msg["fn"])
            msg["is_observed"] = True
            msg["infer"] = {**msg["infer"], "_given": True}

    def _compare(self, plate: str, now: list[Any] | None) -> None:
        """Note where the elements of a plate were, if its labels are others than before."""
        before = list(self.labels[plate])
        if now is not None and now != before:
            places = {label: i for i, label in enumerate(before)}
            self._places[plate] = [places.get(label, -1) for label in now]

    def _moved(self, msg: dict[str, Any]) -> Tensor:
        """Return the value of a site with the elements that its plates have now."""
        value, fn = self.draw[msg["name"]], msg["fn"]
        known = torch.ones((), dtype=torch.bool, device=value.device)
        for frame in msg["cond_indep_stack"]:
            dim = (frame.dim or 0) - getattr(fn, "event_dim", 0)
            if frame.name not in self._places or frame.dim is None or value.dim() < -dim:
                continue
            if value.shape[dim] == 1:  # the same for all elements
                continue
            places = torch.tensor(self._places[frame.name], device=value.device)
            value = value.index_select(dim, places.clamp(min=0))
            known = known & (places >= 0).reshape(-1, *[1] * (-dim - 1))
        return value if bool(known.all()) else torch.where(known, value, fn.sample())

    def _initial_value(self, msg: dict[str, Any]) -> Tensor | None:
        """Return the draw of a site that is about to be rewritten in terms of others."""
        draw = self.draw.get(msg["name"])
        return None if draw is None else _fitted(msg["name"], draw, msg["fn"])


def values_of(trace: poutine.Trace, names: list[str]) -> Values:
    """Return the values of sites of a trace, and under ``"_RETURN"`` what the program returned.

    Raises:
        SiteError: If one of them is missing, or no tensor.
    """
    values = {}
    for name in names:
        if name not in trace:
            raise SiteError(
                f"site {name!r} is not made in every run of the model, so its draws cannot be "
                "returned together; make it in every run, or leave it out by return_sites",
                site=name,
            )
        values[name] = trace.nodes[name]["value"]
        if not isinstance(values[name], Tensor):
            raise SiteError(
                f"{name!r} must be a tensor to be returned, got {values[name]!r}; make it one, or "
                "leave it out by return_sites",
                site=name,
            )
    return values


def run_draws(
    at_draw: Callable[[Values], Values],
    given: Values,
    first: Values,
    num: int,
    parallel: bool,
    batch_size: int | None = None,
) -> Values:
    """Return the values at all draws, stacked along a first dimension.

    Args:
        at_draw: From the values of one draw to those of the sites to return.
        given: Values of all draws by site, each of shape ``(draw, *site)``.
        first: What ``at_draw`` gave for the first draw.
        num: The number of draws.
        parallel: Whether to run all at once if that is possible.
        batch_size: How many to run at once; by default as many as fit into some memory.
    """
    if num == 0:
        return {name: x.new_empty((0, *x.shape)) for name, x in first.items()}
    if parallel:
        try:
            size = batch_size or MOST_NUMBERS // max(1, sum(x.numel() for x in first.values()))
            return run_at_once(at_draw, given, num, max(1, min(size, num)))
        except Exception as error:  # one of the model itself comes again
            cause = str(error).partition("\n")[0]
            warn(f"parallel=True: the draws run one after another, all at once gave: {cause}")
    rows = [first, *(at_draw({n: x[i] for n, x in given.items()}) for i in range(1, num))]
    return {name: torch.stack([row[name] for row in rows]) for name in first}


def foreign_generators() -> tuple[Any, ...]:
    """Return the states of the generators that vmap cannot vectorize."""
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest


def refuse_foreign_draws(before: tuple[Any, ...]) -> None:
    """Refuse what was run at once if it has drawn from other generators than torch's.

    Raises:
        SiteError: If their states have changed.
    """
    if foreign_generators() != before:
        raise SiteError("numpy or random would draw one number for all of them")


def run_at_once(
    at_draw: Callable[[Values], Values], given: Values, num: int, batch_size: int
) -> Values:
    """Return the values at all draws by vmap: checks of values would be branches on them."""

    def one(_: Tensor, draw: Values) -> Values:
        return at_draw(draw)

    before = foreign_generators()
    with validation_enabled(False):
        many = torch.func.vmap(one, randomness="different", chunk_size=batch_size)
        values: Values = many(torch.arange(num), given)
    refuse_foreign_draws(before)
    return values


def _fitted(name: str, value: Tensor, fn: Any) -> Tensor:
    """Return a value in the shape of its site: it may have more leading ones, or broadcast."""
    if not hasattr(fn, "batch_shape"):
        return value
    shape = fn.batch_shape + fn.event_shape
    while value.dim() > len(shape) and value.shape[0] == 1:
        value = value.squeeze(0)
    if value.shape != shape and not _broadcasts(value.shape, shape):
        raise ShapeError(
            f"site {name!r}: its draws have shape {tuple(value.shape)}, but with these arguments "
            f"it has {tuple(shape)}; draws belong to the rows that they were inferred from: pass "
            "arguments of the same size, leave the site out to draw it from its prior, or tell the "
            "elements of the plate apart, as in plate(name, size, coords=labels)",
            site=name,
        )
    return value.expand(shape)


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    fits = (a in (1, b) for a, b in zip(reversed(shape), reversed(target), strict=False))
    return len(shape) <= len(target) and all(fits)
