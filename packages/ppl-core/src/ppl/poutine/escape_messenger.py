"""``escape``: leave a program at a site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..arguments import required_function
from .messenger import Messenger
from .runtime import NonlocalExit


class EscapeMessenger(Messenger):
    """Leaves the program at the sample sites for which ``escape_fn`` returns True.

    The exit is an exception, :class:`~ppl.poutine.NonlocalExit`, that carries the site; handlers
    further out do not see the site.

    Args:
        escape_fn: Called with the site.
    """

    def __init__(self, escape_fn: Callable[[Any], bool]) -> None:
        self.escape_fn: Any = required_function("escape_fn of escape", escape_fn)

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if self.escape_fn(msg):
            msg.update(done=True, stop=True, continuation=_leave)


def _leave(msg: Any) -> NoReturn:
    raise NonlocalExit(msg)
