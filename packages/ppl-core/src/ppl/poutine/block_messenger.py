"""``block``: hide sites from the handlers further out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..arguments import function, names
from ..errors import SiteError
from .messenger import Messenger

Predicate = Callable[[Any], bool]


class BlockMessenger(Messenger):
    """Hides sites from the handlers further out; by default all of them.

    Args:
        hide_fn: Hides the sites for which it returns True, and no others.
        expose_fn: Hides all sites but those for which it returns True.
        hide_all: Hide everything that is not exposed.
        expose_all: Expose everything that is not hidden.
        hide: Names to hide, even of a type that is exposed.
        expose: Names to expose.
        hide_types: Types to hide: "param", "sample" for what is drawn, "observe" for sample sites
            that are observed.
        expose_types: Types to expose.
    """

    def __init__(
        self,
        hide_fn: Predicate | None = None,
        expose_fn: Predicate | None = None,
        hide_all: bool = True,
        expose_all: bool = False,
        hide: Sequence[str] | None = None,
        expose: Sequence[str] | None = None,
        hide_types: Sequence[str] | None = None,
        expose_types: Sequence[str] | None = None,
    ) -> None:
        if hide_fn is not None and expose_fn is not None:
            raise SiteError("block takes hide_fn or expose_fn, not both")
        for what, fn in (("hide_fn", hide_fn), ("expose_fn", expose_fn)):
            function(f"{what} of block", fn)
        hide, expose = names("hide of block", hide), names("expose of block", expose)
        hide_types = names("hide_types of block", hide_types)
        expose_types = names("expose_types of block", expose_types)
        self.hide: Sequence[str] | None
        self.expose: Sequence[str] | None
        self.hide_all: bool
        self.expose_all: bool
        self.hide, self.expose, self.hide_all, self.expose_all = hide, expose, hide_all, expose_all
        self.hide_types: Sequence[str] | None
        self.expose_types: Sequence[str] | None
        self.expose_fn: Predicate | None
        self.hide_types, self.expose_types, self.expose_fn = hide_types, expose_types, expose_fn
        hidden = _matcher(hide, hide_types)
        exposed = _matcher(expose, expose_types)
        _refuse_overlap(hide, expose)
        _refuse_overlap(hide_types, expose_types)
        if hide_fn is not None:
            self.hide_fn: Predicate = hide_fn
        elif expose_fn is not None:
            self.hide_fn = partial(_all_but, expose_fn, None)
        elif exposed is not None:
            self.hide_fn = partial(_all_but, exposed, hidden)
        elif hidden is not None:
            self.hide_fn = hidden
        else:
            self.hide_fn = partial(_always, hide_all and not expose_all)

    def _hides(self, msg: Any) -> bool:
        return bool(self.hide_fn(msg))

    def _process_message(self, msg: dict[str, Any]) -> None:
        msg["stop"] = self._hides(msg)


def _matcher(names: Sequence[str] | None, types: Sequence[str] | None) -> Predicate | None:
    if names is None and types is None:
        return None
    return partial(_matches, names or (), types or ())


# functions with bound arguments rather than closures, so that blocked programs can be pickled


def _matches(names: Sequence[str], types: Sequence[str], msg: Any) -> bool:
    is_observed = msg["type"] == "sample" and msg["is_observed"]
    return msg["name"] in names or ("observe" if is_observed else msg["type"]) in types


def _all_but(exposed: Predicate, hidden: Predicate | None, msg: Any) -> bool:
    return not exposed(msg) or (hidden is not None and hidden(msg))


def _always(answer: bool, msg: Any) -> bool:
    return answer


def _refuse_overlap(hide: Sequence[str] | None, expose: Sequence[str] | None) -> None:
    both = set(hide or ()) & set(expose or ())
    if both:
        raise SiteError(f"block cannot hide and expose the same sites: {sorted(both)}")
