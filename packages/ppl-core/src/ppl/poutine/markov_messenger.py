"""``markov``: declare that sites depend on a limited past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

from ..arguments import integer, named
from ..errors import SiteError, SiteTypeError
from .reentrant_messenger import Entry, ReentrantMessenger
from .runtime import stack


class KeptStep(NamedTuple):
    """A context that lasts: every entry of its chain at this depth is the same one."""

    chain: int
    depth: int
    history: int


Step = int | KeptStep  # the identity of one context
Scope = dict[int, tuple[Step, ...]]  # of each chain around a site: its visible steps, oldest first

_numbers = count()  # chains and contexts; next() on it is atomic


class MarkovMessenger(ReentrantMessenger):
    """Declares that the sites of a context depend only on those of the ``history`` contexts before.

    A handler is one chain. Entering it while it is active, or going on in a loop, is the next step
    of the chain; leaving goes back. Inference by enumeration can give the same tensor dimension to
    variables that never see each other, so that its cost does not grow with the length of the chain
    (Obermeyer et al. 2019, "Tensor variable elimination for plated factor graphs", section 4).

    Args:
        history: How many contexts before the current one are visible; 0 makes the contexts
            independent of each other, as in a sequential ``plate``.
        keep: Whether a context that is entered again at the same depth is the old one: branches of
            a recursion may then depend on each other. Otherwise they are independent.
        dim: Reserved for a vectorized form; must be None.
        name: Reserved for matching chains of model and guide; must be None.

    Raises:
        SiteError: If ``history`` is negative, or a reserved argument is given.
    """

    def __init__(
        self,
        history: int = 1,
        keep: bool = False,
        dim: int | None = None,
        name: str | None = None,
    ) -> None:
        history = integer("history of markov", history)
        if history < 0:
            raise SiteError(f"markov needs a history of zero or more contexts, got {history}")
        if dim is not None or name is not None:
            raise SiteError(
                f"markov has no vectorized or named form, got dim={dim}, name={name!r}; leave both "
                "out"
            )
        self.history = history
        self.keep = keep
        self.dim = dim
        self.name = name
        self._chain = next(_numbers)
        self._iterable: Iterable[Any] = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _chain=next(_numbers))  # a copy is a chain of its own

    def generator(self, iterable: Iterable[Any]) -> MarkovMessenger:
        """Return this handler, to be iterated: each element is one step of the chain."""
        self._iterable = iterable
        return self

    def __iter__(self) -> Iterator[Any]:
        step = None
        for element in self._iterable:
            step = self._next(step) if step else self._entry()
            with step:
                yield element

    def _entry(self) -> MarkovStep:
        steps = (entry for entry in reversed(stack()) if isinstance(entry, MarkovStep))
        return self._next(next((step for step in steps if step.owner is self), None))

    def _next(self, step: MarkovStep | None) -> MarkovStep:
        """Return the step that follows ``step``, or the first one."""
        depth = step.depth + 1 if step else 0
        past = step.visible if step else ()
        this = KeptStep(self._chain, depth, self.history) if self.keep else next(_numbers)
        return MarkovStep(self, depth, (*past[max(0, len(past) - self.history) :], this))


class MarkovStep(Entry):
    """One context of a chain; tells each sample site which steps it can see."""

    def __init__(self, owner: MarkovMessenger, depth: int, visible: tuple[Step, ...]) -> None:
        super().__init__(owner)
        self.chain: int = owner._chain
        self.depth = depth
        self.visible = visible

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        scope: Scope = msg.setdefault("_markov_scope", {})
        scope.setdefault(self.chain, self.visible)  # the innermost step of a chain counts


@named("markov")
def markov(
    fn: Any = None,
    history: int = 1,
    keep: bool = False,
    dim: int | None = None,
    name: str | None = None,
) -> Any:
    """Declare a limited memory: along an iterable, around a recursive program, or as a context.

    Args:
        fn: An iterable, whose elements are the steps of a chain; or a program that calls itself,
            whose levels are; or None, for a context or decorator.
        history: How many contexts before the current one are visible.
        keep: Whether branches of a recursion may depend on each other.
        dim: Reserved; must be None.
        name: Reserved; must be None.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> from ppl.poutine import enum
        >>> from ppl.primitives import sample
        >>> def model():
        ...     for t in markov(range(4)):
        ...         x = sample(f"x{t}", Bernoulli(0.5), infer={"enumerate": "parallel"})
        ...         print(tuple(x.shape), end=" ")
        >>> enum(model, first_available_dim=-1)()
        (2,) (2, 1) (2,) (2, 1)
    """
    handler = MarkovMessenger(history, keep, dim, name)
    if fn is None:
        return handler
    if callable(fn):
        return handler(fn)
    if not isinstance(fn, Iterable):
        raise SiteTypeError(f"markov wraps a callable, or goes along an iterable, got {fn!r}")
    return handler.generator(fn)
