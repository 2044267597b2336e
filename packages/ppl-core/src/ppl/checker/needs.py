"""What an inference algorithm needs of model and guide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributions import biject_to

from ..errors import SiteError
from ..plugins import nearest
from ..poutine.messenger import Messenger
from ..poutine.trace_struct import Site
from ..poutine.util import site_is_subsample
from .report import Finding, find
from .runs import Run
from .sites import is_discrete

_RADIUS = 2.0  # of the starting points, on the unconstrained scale


@dataclass(frozen=True)
class Needs:
    """What an algorithm needs; one that has them may say so in an attribute ``needs``.

    Attributes:
        reparametrized: All sites of the guide have reparametrized samples.
        continuous: All latent sites of the model are continuous, or marked to be enumerated.
        all_data: No plate subsamples.
    """

    reparametrized: bool = False
    continuous: bool = False
    all_data: bool = False


_GRADIENT_MCMC = Needs(continuous=True, all_data=True)
_KNOWN = {
    "hmc": _GRADIENT_MCMC,
    "nuts": _GRADIENT_MCMC,
    "renyielbo": Needs(),
    "reweightedwakesleep": Needs(),
    "svi": Needs(),
    "traceelbo": Needs(),
    "traceenumelbo": Needs(),
    "tracegraphelbo": Needs(),
    "tracemeanfieldelbo": Needs(reparametrized=True),
    "tracetailadaptiveelbo": Needs(reparametrized=True),
}


def needs_of(algorithm: Any) -> Needs:
    """Return the needs of an algorithm: an object or class with an attribute ``needs``, or a name.

    Raises:
        SiteError: If nothing is known of the algorithm.

    Example:
        >>> needs_of("NUTS").continuous
        True
    """
    declared = getattr(algorithm, "needs", None)
    if isinstance(declared, Needs):
        return declared
    cls = algorithm if isinstance(algorithm, type) else type(algorithm)
    name = algorithm if isinstance(algorithm, str) else cls.__name__
    key = name.lower().replace("_", "").removeprefix("jit")
    if key not in _KNOWN:
        raise SiteError(
            f"it is not known what {name!r} needs{nearest(key, list(_KNOWN))}; known: "
            f"{sorted(_KNOWN)}; others may have an attribute needs = Needs(...)"
        )
    return _KNOWN[key]


def model_needs(needs: Needs, model: Run) -> Iterator[Finding]:
    """Find what an algorithm cannot do with a model."""
    if needs.continuous:
        yield from _discrete(model)
        if not model.latent:
            yield find("PPL604", None, "", None)
    if needs.all_data:
        yield from _subsampled(model)


def guide_needs(needs: Needs, guide: Run) -> Iterator[Finding]:
    """Find the sites of a guide that a loss cannot differentiate."""
    for name, site in guide.sites.items():
        if needs.reparametrized and not (site["is_observed"] or site["fn"].has_rsample):
            detail = f"its distribution is {site['fn']}"
            yield find("PPL601", name, detail, guide.lines.get(name))


def _discrete(model: Run) -> Iterator[Finding]:
    for name, site in model.latent.items():
        if not is_discrete(site) or site["infer"].get("enumerate") == "parallel":
            continue
        fix = ""
        if getattr(site["fn"], "has_enumerate_support", False):
            fix = "mark it infer={'enumerate': 'parallel'} to sum it out, or observe it"
        yield find("PPL602", name, f"its distribution is {site['fn']}", model.lines.get(name), fix)


def _subsampled(model: Run) -> Iterator[Finding]:
    for name, site in model.trace.iter_stochastic_nodes():
        fn = site["fn"]
        if site_is_subsample(site) and fn.given is None and fn.subsample_size < fn.size:
            detail = f"it uses {fn.subsample_size} of {fn.size} elements"
            yield find("PPL605", name, detail, model.lines.get(name))


class StartMessenger(Messenger):
    """Gives continuous latent sites a starting point: uniform draws on the unconstrained scale."""

    def _pyro_sample(self, msg: Site) -> None:
        if msg["done"] or msg["is_observed"] or site_is_subsample(msg) or is_discrete(msg):
            return
        transform = biject_to(msg["fn"].support)
        free = transform.inv(msg["fn"].sample())
        with torch.no_grad():
            msg["value"] = transform(torch.empty_like(free).uniform_(-_RADIUS, _RADIUS))
        msg["done"] = True
