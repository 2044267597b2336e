"""``lift``: turn parameters into random variables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import wrong_type
from ..distribution import Distribution
from ..distribution.refusals import refuse_class
from .messenger import Messenger

_PRIOR = "a distribution, a stochastic function or a dict of them"


class LiftMessenger(Messenger):
    """Turns param sites into sample sites of a prior.

    A parameter is one variable, however often a program reads it: it is drawn once an execution.

    Args:
        prior: A distribution or stochastic function for all parameters, or a dict of them by name;
            parameters that the dict does not name stay parameters. A function is called with what
            the param statement says: the initial value, ``constraint`` and ``event_dim``; one that
            takes no arguments is called without.
    """

    _keeps_notes = True

    def __init__(self, prior: Distribution | Callable[..., Any] | Mapping[str, Any]) -> None:
        if not (callable(prior) or isinstance(prior, Mapping)):
            raise wrong_type("lift needs a distribution", _PRIOR, prior)
        for each in prior.values() if isinstance(prior, Mapping) else [prior]:
            refuse_class("the prior of lift", each)
        self.prior = prior
        self._drawn: dict[str, Any] = {}

    def __enter__(self) -> LiftMessenger:
        self._reset()
        return super().__enter__()

    def _reset(self) -> None:
        self._drawn = {}

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        prior = self.prior.get(name) if isinstance(self.prior, Mapping) else self.prior
        if prior is None:
            return
        args, kwargs = _arguments(prior, msg)
        msg.update(type="sample", fn=prior, args=args, kwargs=kwargs, is_observed=False)
        msg.update(value=None, done=False, _lifted=(self, name))
        if name in self._drawn:  # nobody further out sees it again, nor a trace further in
            msg.update(value=self._drawn[name], done=True, stop=True)
            msg["infer"]["_do_not_trace"] = True

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        lifted_by, name = msg.get("_lifted", (None, ""))
        if lifted_by is self:
            self._drawn.setdefault(name, msg["value"])


def _arguments(prior: Any, msg: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what to call a prior with: a function of the parameter takes what the param says."""
    if hasattr(prior, "log_prob"):
        return (), {}
    args: tuple[Any, ...] = msg["args"][1:]
    statements: tuple[dict[str, Any], ...] = (msg["kwargs"], {})
    for some in statements:
        try:
            inspect.signature(prior).bind(*args, **some)
        except TypeError:  # it takes less
            continue
        except ValueError:  # a function of C, which does not tell
            break
        return args, some
    return (), {}
