"""Which sites of a model depend on which: found by a run with marked values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

import ppl.poutine as poutine
from ppl.errors import warn
from ppl.ops.provenance import detach_provenance, get_provenance, track_provenance
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import site_is_subsample

Factors = dict[str, frozenset[str]]  # for each sample site the latent sites in its density


def factors(model: Callable[..., Any], latent: Iterable[str], *args: Any, **kwargs: Any) -> Factors:
    """Return, for each sample site of a run, the latent sites that its log density depends on.

    Dependencies through Python numbers are not seen. Where values cannot be marked, all sites are
    taken to depend on all latent sites before them, with a warning.

    Args:
        model: The model, at the values that it is to be run at.
        latent: The names of its latent sites, in order.
        args: The arguments of the model.
        kwargs: The same by name.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     a = sample("a", dist.Normal(0.0, 1.0))
        ...     b = sample("b", dist.Normal(a, 1.0))
        ...     sample("c", dist.Normal(b, 1.0), obs=torch.zeros(()))
        >>> {name: sorted(sites) for name, sites in factors(model, ["a", "b"]).items()}
        {'a': ['a'], 'b': ['a', 'b'], 'c': ['b']}
    """
    marks = _Marks(frozenset(latent))
    try:
        with torch.no_grad(), poutine.block(), marks:
            model(*args, **kwargs)
    except Exception as error:  # whatever a tensor of another class may lead to
        warn(
            f"the dependencies of the model's sites could not be found ({error}); all sites are "
            "taken to depend on all latent sites before them"
        )
        names = list(latent)
        return {name: frozenset(names[: i + 1]) for i, name in enumerate(names)}
    return marks.found


def ancestors(found: Factors, latent: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each latent site, those before it that it depends on in the posterior.

    These are the neighbours of a site when all after it are eliminated, the last one first: no
    independence is claimed that the posterior has not (Webb et al. 2018, "Faithful inversion of
    generative models for effective amortized inference").

    Example:
        >>> found = {"a": {"a"}, "b": {"b"}, "y": {"a", "b"}}
        >>> ancestors(found, ["a", "b"])
        {'a': [], 'b': ['a']}
    """
    order = list(latent)
    cliques = [set(clique) for clique in found.values()]
    result: dict[str, list[str]] = {}
    for name in reversed(order):
        touched = [clique for clique in cliques if name in clique]
        neighbours = set().union(*touched) - {name}
        cliques = [clique for clique in cliques if name not in clique] + [neighbours]
        result[name] = [other for other in order if other in neighbours]
    return {name: result[name] for name in order}


class _Marks(Messenger):
    """Marks the values of latent sites by their names, and reads the marks of log densities."""

    def __init__(self, latent: frozenset[str]) -> None:
        super().__init__()
        self.latent = latent
        self.found: Factors = {}

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if site_is_subsample(msg) or msg["infer"].get("_deterministic"):
            return
        name = msg["name"]
        if name in self.latent:
            value = detach_provenance(msg["value"])  # a draw is marked by its parameters
            msg["value"] = track_provenance(value, frozenset([name]))
        density = msg["fn"].log_prob(msg["value"])
        own = {name} & self.latent
        self.found[name] = (get_provenance(density) & self.latent) | own
