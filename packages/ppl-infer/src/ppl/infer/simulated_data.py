"""Pairs of parameters and data from the joint distribution of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import ppl.poutine as poutine
from ppl.errors import MissingSiteError, SiteError, UnsupportedModelError
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import site_is_factor, site_is_subsample
from ppl.primitives import sample

from .arguments import nearest_site
from .predictive_runs import AtDraw, Values, run_draws, values_of

Program = Callable[[], Any]
NEW = "_new"  # what the names of replicated sites end in


@dataclass(frozen=True)
class Simulator:
    """A program without arguments whose data can be drawn, and which sites are what.

    Attributes:
        program: The program; no site of `data` is observed in it.
        latent: The names of the latent sites.
        data: The names of the sites that hold data.
        given: Those of sites that are observed in the program, and stay so.
    """

    program: Program
    latent: tuple[str, ...]
    data: tuple[str, ...]
    given: tuple[str, ...] = ()

    @classmethod
    def of(cls, program: Program, observed: Sequence[str] = ()) -> Simulator:
        """Return that of a model whose data are its observed sites, and those that are named.

        Raises:
            SiteError: If no site holds data.
            UnsupportedModelError: If its data cannot be simulated from its density.
        """
        free: Program = Unobserved()(program)
        trace = _trace(free)
        sites = {n: s for n, s in trace.iter_stochastic_nodes() if not _is_computed(s)}
        for name, site in trace.nodes.items():
            _check(name, site)
        for name in observed:
            if name not in sites:
                raise MissingSiteError(
                    f"observed: the model has no site {name!r}{nearest_site(name, sites)}; with "
                    f"these arguments it has {sorted(sites)}",
                    site=name,
                )
        was_observed = {n for n, s in sites.items() if s["infer"].get("was_observed")}
        data = was_observed | set(observed)
        if not data:
            raise SiteError(
                "no site of the model is observed: pass data of the shapes that shall be simulated "
                "as its arguments, or name the sites in observed=[...]"
            )
        latent = tuple(n for n, s in sites.items() if n not in data and not site_is_subsample(s))
        if not latent:
            raise SiteError("the model has no latent site whose posterior could be checked")
        return cls(free, latent, tuple(sorted(data)))

    def draw(self, num: int) -> tuple[Values, Values]:
        """Return parameters and data by site, each of shape ``(num, *site)``."""
        return self._split(self._run({}, num))

    def draw_data(self, latent: Values) -> Values:
        """Return data by site for given parameters, all of shape ``(draw, *site)``."""
        return self._run(latent, len(next(iter(latent.values()))), self.data)

    def fixed(self, data: Values) -> Program:
        """Return the program with data that are observed."""
        conditioned: Program = poutine.condition(self.program, data=data)
        return conditioned

    def observed(self, program: Program) -> Values:
        """Return the data that are observed in a program.

        Raises:
            SiteError: If a site that holds data is not observed there.
        """
        sites = _trace(program).nodes
        for name in self.data:
            if not sites[name]["is_observed"]:
                raise SiteError(
                    f"site {name!r} is not observed, so there is no posterior to begin with; pass "
                    "the data, or leave posterior=True out",
                    site=name,
                )
        return {name: sites[name]["value"] for name in self.data}

    def continued(self, data: Values) -> Simulator:
        """Return a simulator of further data like these, given these."""
        names = tuple(f"{name}{NEW}" for name in self.data)
        program = Twice(self.data)(self.fixed(data))
        return Simulator(program, self.latent, names, self.data)

    def log_likelihoods(self, latent: Values, data: Values) -> torch.Tensor:
        """Return the log density of the data at each draw, in nats, shape ``(num, draw)``.

        Args:
            latent: Draws by site, each of shape ``(num, draw, *site)``.
            data: Data by site, each of shape ``(num, *site)``.
        """
        names = {*self.data, *self.given}

        def one(latent: Values, data: Values) -> torch.Tensor:
            with AtDraw({**latent, **data}):
                trace = _trace(self.program)
            return torch.as_tensor(trace.log_prob_sum(lambda name, _: name in names))

        of_draws = torch.func.vmap(one, in_dims=(0, None))
        found: torch.Tensor = torch.func.vmap(of_draws, chunk_size=32)(latent, data)
        return found

    def _run(self, latent: Values, num: int, names: Iterable[str] = ()) -> Values:
        wanted = list(names) or [*self.latent, *self.data]

        def at(latent: Values) -> Values:
            with torch.no_grad(), AtDraw(latent):
                return values_of(_trace(self.program), wanted)

        first = at({name: x[0] for name, x in latent.items()})
        return run_draws(at, latent, first, num, parallel=True)

    def _split(self, values: Values) -> tuple[Values, Values]:
        return {n: values[n] for n in self.latent}, {n: values[n] for n in self.data}


class Unobserved(Messenger):
    """Draws data, and leaves what is computed as it is."""

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["is_observed"] and not _is_computed(msg) and not site_is_factor(msg):
            msg["infer"]["was_observed"] = True
            msg.update(is_observed=False, value=None, done=False)


class Twice(Messenger):
    """Samples the named sites a second time, from the same distributions, under new names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.names:
            sample(f"{msg['name']}{NEW}", msg["fn"])


def _trace(program: Program) -> poutine.Trace:
    trace: poutine.Trace = poutine.trace(program).get_trace()
    return trace


def _is_computed(site: dict[str, Any]) -> bool:
    return bool(site["infer"].get("_deterministic"))


def _check(name: str, site: dict[str, Any]) -> None:
    """Refuse what has a density from which the site is not drawn."""
    if site["type"] != "sample":
        return
    why = None
    if site_is_factor(site):
        why = "is a factor: no data can be drawn from it; write the term as an observed site"
    elif (
        site_is_subsample(site)
        and site["fn"].given is None
        and len(site["value"]) < site["fn"].size
    ):
        why = "is a plate that subsamples: leave subsample_size out"
    elif not site_is_subsample(site) and not _is_one(site["scale"]):
        why = "is scaled, so its data are not drawn from the density that is scored: do not scale"
    if why is not None:
        raise UnsupportedModelError(f"calibration cannot simulate: {name!r} {why}", site=name)


def _is_one(scale: Any) -> bool:
    return bool((torch.as_tensor(scale) == 1).all())
