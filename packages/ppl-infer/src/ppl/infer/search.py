"""Exact inference by running a program at all values of its discrete sites."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.errors import IntractableError, SiteError, UnsupportedModelError, warn
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import all_escape, site_is_subsample
from ppl.validation import is_validation_enabled

from .arguments import positive_int
from .site_shapes import check_counted_once
from .trace_posterior import TracePosterior

Model = Callable[..., Any]
Site = dict[str, Any]


class Search(TracePosterior):
    """Exact inference for programs whose latent sites all have finitely many values.

    The program is run at every combination of values, also where these decide which sites follow.
    Executions are completed best first: the one with the largest joint density of what it has so
    far is continued next, and those of probability zero never are. So ``max_tries`` cuts off the
    least probable part of a program with very many executions, or with infinitely many.

    Args:
        model: The model. A site with a batch of several elements is run at all combinations of
            their values.
        max_tries: How often the program may be started. If executions are left then, a warning says
            how much may be missing.

    Raises:
        UnsupportedModelError: In ``run``, if a latent site has infinitely many values, or a plate
            subsamples.
        IntractableError: In ``run``, if a site has more combinations of values than ``max_tries``.
        ShapeError: In ``run``, if observations broadcast along a dimension without a plate.
        SiteError: In ``run``, if no execution of positive probability is found.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def flips_until_heads():
        ...     for n in range(3):
        ...         if sample(f"flip_{n}", dist.Bernoulli(0.5)):
        ...             return torch.tensor(n)
        ...     return torch.tensor(3)
        >>> posterior = Search(flips_until_heads).run()
        >>> [round(weight.exp().item(), 3) for weight in posterior.log_weights]
        [0.5, 0.25, 0.125, 0.125]
        >>> posterior.marginal().empirical["_RETURN"].mean
        tensor(0.8750)
    """

    def __init__(self, model: Model, max_tries: float = 1e6) -> None:
        super().__init__()
        require_program("model", model)
        is_whole = isinstance(max_tries, float) and max_tries.is_integer()
        self.model = model
        self.max_tries: int = positive_int("max_tries", int(max_tries) if is_whole else max_tries)

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[poutine.Trace, Tensor]]:
        frontier = _Frontier()
        found: list[float] = []
        frontier.put(poutine.Trace(), 0.0)
        for _ in range(self.max_tries):
            if not frontier:
                break
            trace, site = _run_to_first_open(self.model, frontier.pop(), args, kwargs)
            log_weight = torch.as_tensor(trace.log_prob_sum())
            if not bool(log_weight == -torch.inf):
                if site is None:
                    if not found and is_validation_enabled():
                        check_counted_once(trace)
                    found.append(log_weight.item())
                    yield trace, log_weight
                else:
                    self._branch(frontier, trace, site)
        if not found:
            raise SiteError(
                f"Search found no execution of positive probability in {self.max_tries} tries"
                + ("; allow more by max_tries" if frontier else ": the model has none")
            )
        if frontier:
            _warn_of_the_rest(found, frontier.scores(), self.max_tries)

    def _branch(self, frontier: _Frontier, trace: poutine.Trace, site: Site) -> None:
        """Put an execution up to a site into the frontier, once for each value of the site."""
        log_prob = trace.log_prob_sum()
        for value in _all_values(site, self.max_tries):
            longer = trace.copy()
            longer.add_node(site["name"], **{**site, "value": value, "done": True, "stop": False})
            extended = log_prob + longer.log_prob_sum(lambda name, _: name == site["name"])
            frontier.put(longer, float(extended))


class _Frontier:
    """Executions up to some site, the one with the largest density on top."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, poutine.Trace]] = []
        self._count = itertools.count()  # equals are taken in the order they came

    def __bool__(self) -> bool:
        return bool(self._heap)

    def put(self, trace: poutine.Trace, score: float) -> None:
        if score != -torch.inf:
            heapq.heappush(self._heap, (-score, next(self._count), trace))

    def pop(self) -> poutine.Trace:
        return heapq.heappop(self._heap)[2]

    def scores(self) -> list[float]:
        return [-negative for negative, _, _ in self._heap]


def _run_to_first_open(
    model: Model, known: poutine.Trace, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[poutine.Trace, Site | None]:
    """Run a program at known values up to the first site without, and return its trace and it."""
    replayed = poutine.replay(model, trace=known)
    recorded = poutine.trace(poutine.escape(replayed, partial(_is_open, known)))
    try:
        return recorded.get_trace(*args, **kwargs), None
    except poutine.NonlocalExit as left:
        left.reset_stack()
        return recorded.trace, dict(left.site)


def _is_open(known: poutine.Trace, site: Site) -> bool:
    """Return whether a site waits for its values to be listed, which must be possible."""
    if not all_escape(known, site) or isinstance(site["fn"], Delta):
        return False
    if site_is_subsample(site):
        if site["fn"].subsample_size < site["fn"].size:
            raise UnsupportedModelError(
                f"plate {site['name']!r} subsamples, but Search needs all data; use the full plate",
                site=site["name"],
            )
        return False
    if not getattr(site["fn"], "has_enumerate_support", False):
        raise UnsupportedModelError(
            f"site {site['name']!r}: Search runs a program at all values of its latent sites, but "
            f"{site['fn']} has infinitely many; observe the site, or use Importance or MCMC",
            site=site["name"],
        )
    return True


def _all_values(site: Site, limit: int) -> Tensor:
    """Return all values of a site, shape ``(value, *batch, *event)``: each element has its own."""
    fn = site["fn"]
    support = fn.enumerate_support(*site["args"], **site["kwargs"])  # all elements in step
    num, event = len(support), fn.event_shape
    elements = support.reshape(num, -1, *event) if support.numel() else support[:, None]
    places = elements.shape[1] if fn.batch_shape.numel() else 0
    if places > 1 and num**places > limit:
        raise IntractableError(
            f"site {site['name']!r} has {num} ** {places} combinations of values, more than "
            f"max_tries={limit}; sum it out with TraceEnum_ELBO or infer_discrete, which use the "
            "independence of its elements",
            site=site["name"],
        )
    digits = torch.zeros((1, 0), dtype=torch.long)
    if places:
        digits = torch.cartesian_prod(*[torch.arange(num)] * places).reshape(-1, places)
    chosen: Tensor = elements[
        digits.to(support.device), torch.arange(places, device=support.device)
    ]
    return chosen.reshape(len(digits), *fn.batch_shape, *event)


def _warn_of_the_rest(found: list[float], left: list[float], max_tries: int) -> None:
    parts = torch.tensor([found + left, [-torch.inf] * len(found) + left], dtype=torch.double)
    total, rest = parts.logsumexp(1)
    warn(
        f"Search stopped after max_tries={max_tries} with {len(left)} executions incomplete; as "
        f"far as they were run they hold {(rest - total).exp():.1e} of the joint density, which is "
        "missing from the result"
    )
