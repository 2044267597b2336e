"""A model at each of many draws: one after another, or all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError, warn
from ppl.poutine.messenger import Messenger
from ppl.validation import validation_enabled

Values = dict[str, Tensor]


class AtDraw(Messenger):
    """Observes latent sites at the values of one draw; what is deterministic is computed anew.

    Args:
        draw: Values by site, without a dimension of draws.

    Raises:
        ShapeError: If a value does not have the shape of its site.
    """

    def __init__(self, draw: Values) -> None:
        self.draw = draw

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if name in self.draw and not msg["infer"].get("_deterministic"):
            msg["value"] = _fitted(name, self.draw[name], msg["fn"])
            msg["is_observed"] = True
            msg["infer"] = {**msg["infer"], "_given": True}

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
    at_draw: Callable[[Values], Values], given: Values, first: Values, num: int, parallel: bool
) -> Values:
    """Return the values at all draws, stacked along a first dimension.

    Args:
        at_draw: From the values of one draw to those of the sites to return.
        given: Values of all draws by site, each of shape ``(draw, *site)``.
        first: What ``at_draw`` gave for the first draw.
        num: The number of draws.
        parallel: Whether to run all at once if that is possible.
    """
    if num == 0:
        return {name: x.new_empty((0, *x.shape)) for name, x in first.items()}
    if parallel:
        try:
            return _at_once(at_draw, given, num)
        except Exception as error:  # one of the model itself comes again
            cause = str(error).partition("\n")[0]
            warn(f"parallel=True: the draws run one after another, all at once gave: {cause}")
    rows = [first, *(at_draw({n: x[i] for n, x in given.items()}) for i in range(1, num))]
    return {name: torch.stack([row[name] for row in rows]) for name in first}


def _at_once(at_draw: Callable[[Values], Values], given: Values, num: int) -> Values:
    """Return the values at all draws by vmap: checks of values would be branches on them."""

    def one(_: Tensor, draw: Values) -> Values:
        return at_draw(draw)

    with validation_enabled(False):
        many = torch.func.vmap(one, randomness="different")
        values: Values = many(torch.arange(num), given)
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
            "arguments of the same size, or leave the site out to draw it from its prior",
            site=name,
        )
    return value.expand(shape)


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    fits = (a in (1, b) for a, b in zip(reversed(shape), reversed(target), strict=False))
    return len(shape) <= len(target) and all(fits)
