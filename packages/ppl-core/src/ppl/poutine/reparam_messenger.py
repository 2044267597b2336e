"""``reparam``: write sites in terms of other sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict

from ..arguments import wrong_type
from ..errors import ShapeError, SiteError
from ..validation import is_validation_enabled
from .messenger import Messenger
from .util import site_is_subsample


class ReparamMessage(TypedDict):
    """What a reparameterizer is told of a site: ``value`` is None where it is not known."""

    name: str
    fn: Any
    value: Any
    is_observed: bool


class ReparamResult(TypedDict):
    """What a reparameterizer makes of a site."""

    fn: Any
    value: Any
    is_observed: bool


class Reparam(Protocol):
    """A rule that rewrites a site; on its way it may draw auxiliary sites with ``sample``."""

    def apply(self, msg: ReparamMessage) -> ReparamResult: ...


Config = Mapping[str, Any] | Callable[[Any], Any]


class ReparamMessenger(Messenger):
    """Writes each configured site as auxiliary sites followed by a deterministic function.

    The meaning of the program stays, the geometry of its posterior changes (Gorinova, Moore &
    Hoffman 2019, "Automatic reparameterisation of probabilistic programs").

    Args:
        config: A dict from site name to reparameterizer, or a function of a site that returns one
            or None. A reparameterizer is an object with a method ``apply``, which takes and returns
            a dict with ``fn``, ``value`` and ``is_observed``, or a function ``(name, fn, obs)``
            that returns ``(fn, value)``.

    Raises:
        SiteError: If a reparameterizer loses an observation.
        ShapeError: If it changes the event shape of a site.
    """

    def __init__(self, config: Config) -> None:
        if not (callable(config) or isinstance(config, Mapping)):
            raise wrong_type(
                "reparam needs a dict or a function",
                "a dict of reparameterizers, or a function of a site that returns one",
                config,
            )
        self.config = config

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if site_is_subsample(msg):
            return
        rule = self.config(msg) if callable(self.config) else self.config.get(msg["name"])
        if rule is None:
            return
        result = _apply(rule, msg)
        if msg["is_observed"] and result["value"] is None:
            raise SiteError(f"site {msg['name']!r} is observed, but {rule!r} lost the observation")
        if is_validation_enabled():
            _check_event_shape(msg["name"], msg["fn"], result["fn"], rule)
        msg.update(fn=result["fn"], value=result["value"], is_observed=result["is_observed"])


def _apply(rule: Any, msg: dict[str, Any]) -> ReparamResult:
    name, fn, value, is_observed = (msg[key] for key in ("name", "fn", "value", "is_observed"))
    if hasattr(rule, "apply"):
        result: ReparamResult = rule.apply(
            {"name": name, "fn": fn, "value": value, "is_observed": is_observed}
        )
        return result
    fn, value = rule(name, fn, value if is_observed else None)
    return {"fn": fn, "value": value, "is_observed": value is not None}


def _check_event_shape(name: str, fn: Any, new: Any, rule: Any) -> None:
    want, got = getattr(fn, "event_shape", None), getattr(new, "event_shape", None)
    if want != got:
        raise ShapeError(
            f"site {name!r} has event_shape {want}, but {rule!r} makes it {got}; a reparameterizer "
            "must leave it as it is"
        )
