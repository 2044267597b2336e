"""``reparam``: write sites in terms of other sites."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol, TypedDict

from ..arguments import wrong_type
from ..errors import ShapeError, SiteError
from ..validation import is_validation_enabled
from .broadcast_messenger import plate_shape
from .condition_messenger import ConditionMessenger
from .indep_messenger import IndepMessenger
from .infer_config_messenger import InferConfigMessenger
from .messenger import Messenger, _BoundMessenger
from .runtime import stack
from .util import site_is_subsample

Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]


class ReparamResult(TypedDict):
    """What a reparameterizer makes of a site."""

    fn: Any
    value: Any
    is_observed: bool


class ReparamMessage(ReparamResult):
    """What a reparameterizer is told of a site.

    ``value`` is None where it is not known; known and not observed, it is where to start.
    """

    name: str


class Reparam(Protocol):
    """A rule that rewrites a site; on its way it may draw auxiliary sites with ``sample``.

    A rule that has an attribute ``needs_arguments`` which is true gets those of the program as
    ``msg["arguments"]``: ``(args, kwargs)``, or None inside a ``with`` statement.
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult: ...


Config = Mapping[str, Any] | Callable[[Any], Any]


class ReparamMessenger(Messenger):
    """Writes each configured site as auxiliary sites followed by a deterministic function.

    The meaning of the program stays, the geometry of its posterior changes (Gorinova, Moore &
    Hoffman 2019, "Automatic reparameterisation of probabilistic programs"). An observation by
    ``condition``, and an initial value, may be given for the site itself: the auxiliary sites take
    theirs from it, where they follow from it.

    Args:
        config: A dict from site name to reparameterizer, or a function of a site that returns one
            or None. A reparameterizer is an object with a method ``apply``, which takes and returns
            a dict with ``fn``, ``value`` and ``is_observed``, or a function ``(name, fn, obs)``
            that returns ``(fn, value)``.

    Raises:
        SiteError: If a reparameterizer loses an observation, or is none.
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
        self._arguments: Arguments | None = None

    def __call__(self, fn: Callable[..., Any]) -> Any:
        return _WithArguments(self, super().__call__(fn).fn)

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if site_is_subsample(msg):
            return
        rule = self.config(msg) if callable(self.config) else self._named(msg)
        if rule is None:
            return
        self._prepare(msg)
        was_observed = msg["is_observed"]
        with _as_filler() if msg["infer"].get("_is_filler") else nullcontext():
            result = _apply(rule, msg, self._arguments)
        if was_observed and result["value"] is None:
            raise SiteError(f"site {msg['name']!r} is observed, but {rule!r} lost the observation")
        if is_validation_enabled():
            _check_event_shape(msg["name"], msg["fn"], result["fn"], rule)
        if result["is_observed"] and not was_observed:
            msg["infer"] = {**msg["infer"], "_deterministic": True}
        msg.update(fn=result["fn"], value=result["value"], is_observed=result["is_observed"])

    def _named(self, msg: dict[str, Any]) -> Any:
        name = msg["name"]
        rule = self.config.get(name)  # type: ignore[union-attr]
        if rule is not None and msg["infer"].get("_deterministic"):
            raise SiteError(
                f"site {name!r} is deterministic, so that there is nothing to reparameterize; if "
                f"it has obs_mask=, configure its parts: '{name}_observed' and '{name}_unobserved'",
                site=name,
            )
        return rule

    def _prepare(self, msg: dict[str, Any]) -> None:
        """Let the handlers further out say what they know of a site: plates, observation, start."""
        handlers = stack()
        for handler in reversed(handlers[: handlers.index(self)]):
            if isinstance(handler, IndepMessenger) and hasattr(msg["fn"], "expand"):
                shape = plate_shape(msg["name"], [handler._frame()], msg["fn"].batch_shape)
                if shape != tuple(msg["fn"].batch_shape):
                    msg["fn"] = msg["fn"].expand(shape)
            if isinstance(handler, ConditionMessenger):
                handler._pyro_sample(msg)
            elif msg["value"] is None:
                msg["value"] = handler._initial_value(msg)
            if handler._hides(msg):
                break


class _WithArguments(_BoundMessenger):
    """A program inside ``reparam``, whose reparameterizers may see its arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        messenger: Any = self.messenger._copy()
        messenger._arguments = (args, kwargs)
        with messenger:
            return self.fn(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


def _as_filler() -> InferConfigMessenger:
    """Return a handler that marks sites whose values are not used where they are masked."""
    return InferConfigMessenger(lambda site: {"_is_filler": True})


def _apply(rule: Any, msg: dict[str, Any], arguments: Arguments | None) -> ReparamResult:
    name, fn, value, is_observed = (msg[key] for key in ("name", "fn", "value", "is_observed"))
    if hasattr(rule, "apply") and not isinstance(rule, type):
        told = {"name": name, "fn": fn, "value": value, "is_observed": is_observed}
        if getattr(rule, "needs_arguments", False):
            told["arguments"] = arguments
        result: ReparamResult = rule.apply(told)
        return result
    if not callable(rule) or isinstance(rule, type):
        raise SiteError(
            f"site {name!r}: {rule!r} is no reparameterizer; pass an object with a method apply, "
            "such as LocScaleReparam()",
            site=name,
        )
    fn, value = rule(name, fn, value if is_observed else None)
    return {"fn": fn, "value": value, "is_observed": value is not None}


def _check_event_shape(name: str, fn: Any, new: Any, rule: Any) -> None:
    want, got = getattr(fn, "event_shape", None), getattr(new, "event_shape", None)
    if want != got:
        raise ShapeError(
            f"site {name!r} has event_shape {want}, but {rule!r} makes it {got}; a reparameterizer "
            "must leave it as it is"
        )
