"""The posterior density as estimated from a part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import MissingSiteError, NotFiniteError, UnsupportedModelError, warn
from ppl.infer.layout import Layout
from ppl.infer.mcmc.slot import Slot
from ppl.infer.mcmc.target.potential import ModelPotential, Params
from ppl.infer.mcmc.taylor import Taylor, expand_rows, sum_over_rows
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import site_is_subsample

Plates = Mapping[str, tuple[int, int]]  # by name: how many rows there are, and how many are drawn
MAX_STEPS = 100  # of the search for the mode
TOLERANCE = 1e-5  # of the slope there, in nats a row
FAR = 25.0  # squared standard deviations from the mode, beside one for each number


class ChosenRows(Messenger):
    """Gives plates that subsample the rows of a slot."""

    def __init__(self, rows: Slot) -> None:
        self.rows = rows

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if site_is_subsample(msg) and msg["name"] in self.rows:
            msg["fn"].given = self.rows[msg["name"]]


def subsampled_plates(trace: poutine.Trace) -> dict[str, tuple[int, int]]:
    """Return the plates that draw a part of their rows: how many there are, and are drawn.

    Raises:
        UnsupportedModelError: If there is none, or a site of the model stands in the way.
    """
    fns = {n: s["fn"] for n, s in trace.iter_stochastic_nodes() if site_is_subsample(s)}
    plates = {
        name: (int(fn.size), int(fn.subsample_size))
        for name, fn in fns.items()
        if fn.given is None and fn.subsample_size < fn.size
    }
    if not plates:
        raise UnsupportedModelError(
            "no plate of the model draws a subsample, so HMCECS has nothing to do: sample with its "
            "kernel, or write plate(..., subsample_size=...)"
        )
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site):
            _check(name, site, plates)
    return plates


def _check(name: str, site: dict[str, Any], plates: Plates) -> None:
    inside = [frame.name for frame in site["cond_indep_stack"] if frame.name in plates]
    cause = None
    if len(inside) > 1:
        cause = f"is inside of the plates {inside}, which both subsample: leave one whole"
    elif inside and not site["is_observed"]:
        cause = (
            f"is latent and inside of plate {inside[0]!r}, which subsamples: a site for each row "
            "needs the whole plate; leave subsample_size out and use NUTS, or use SVI"
        )
    elif not site["is_observed"] and site["fn"].support.is_discrete:
        cause = "is discrete: sum it out in the model"
    if cause is not None:
        raise UnsupportedModelError(f"HMCECS: site {name!r} {cause}", site=name)


class SubsampledDensity:
    """The negative estimated log density at flat positions, given the rows of a slot.

    For each plate, with expansions ``q`` of the log likelihoods ``l`` of its ``n`` rows and the
    ``m`` rows ``u`` of the subsample, which are drawn with replacement, the log likelihood is
    estimated by ``sum(q) + n * mean(l[u] - q[u])``, the difference estimator, less half of its
    variance ``n**2 * var(l[u] - q[u]) / m`` (Dang et al. 2019, equations 5 and 8).

    Args:
        potential: The model, with plates that have the rows of the slot.
        layout: How its sites lie in a position.
        plates: Its plates that subsample.
        rows: The slot.
        degree: That of the expansions.
    """

    def __init__(
        self, potential: ModelPotential, layout: Layout, plates: Plates, rows: Slot, degree: int
    ) -> None:
        self.model, self.layout, self.plates, self.rows = potential, layout, plates, rows
        self.degree = degree
        self._taylor: dict[str, Taylor] = {}

    def __call__(self, position: Tensor) -> Tensor:
        """Return the potential energy ``()`` at a position ``(dim,)``, in nats."""
        rest, likelihoods = self._parts(position)
        total = rest
        for name, found in likelihoods.items():
            estimate, variance = self._estimate(position, name, found)
            total = total + estimate - variance / 2
        return -total.to(position.dtype)

    def variance(self, position: Tensor) -> Tensor:
        """Return the estimated variance of the estimate of the log density, ``()``."""
        _, likelihoods = self._parts(position)
        parts = [self._estimate(position, name, found)[1] for name, found in likelihoods.items()]
        return torch.stack(parts).sum()

    def _estimate(self, position: Tensor, name: str, found: Tensor) -> tuple[Tensor, Tensor]:
        size, number = self.plates[name]
        taylor, rows = self._taylor[name], self.rows[name]
        difference = found - taylor.at(position, rows)
        everything = taylor.at(position, torch.full_like(rows[:1], -1))[0]
        return everything + size * difference.mean(), size**2 * difference.var() / number

    def _parts(self, position: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the log density without the plates, and the log likelihoods of their rows."""
        trace, messenger = self.model._run(self.layout.unpack(position))
        messenger.score(trace)
        trace.compute_log_prob()
        rest = position.new_zeros(()) + messenger.log_abs_det
        likelihoods = {name: position.new_zeros(m) for name, (_, m) in self.plates.items()}
        for site in trace.nodes.values():
            if site["type"] != "sample" or site_is_subsample(site):
                continue
            frame = next((f for f in site["cond_indep_stack"] if f.name in self.plates), None)
            if frame is None:
                rest = rest + site["log_prob_sum"]
                continue
            size, number = self.plates[frame.name]
            by_row = _by_row(site["log_prob"], frame.dim, number) * (number / size)
            likelihoods[frame.name] = likelihoods[frame.name] + by_row
        return rest, likelihoods

    def constrain(self, params: Params) -> dict[str, Tensor]:
        """Return the values of the latent sites, and of those computed from all of the data."""
        trace, _ = self.model._run(params)
        return {
            name: site["value"]
            for name, site in trace.nodes.items()
            if name in params
            or (site.get("infer", {}).get("_deterministic") and not self._is_inside(site))
        }

    def _is_inside(self, site: dict[str, Any]) -> bool:
        return any(frame.name in self.plates for frame in site["cond_indep_stack"])

    def expand(self, start: Tensor, reference: Mapping[str, Tensor] | None) -> Tensor:
        """Expand the likelihoods of all rows around a reference or the mode, and return it.

        Args:
            start: Where the search for the mode starts, shape ``(dim,)``.
            reference: Values by site to use instead.
        """
        center = self._mode(start) if reference is None else self._unconstrained(reference, start)
        self._warn_if_far(center)
        for name, (size, number) in self.plates.items():
            self._taylor[name] = expand_rows(
                lambda z, rows, name=name: self._likelihoods_of(z, name, rows),  # type: ignore[misc]
                center,
                size,
                number,
                self.degree,
            )
            if not bool(self._taylor[name].slope.isfinite().all()):
                raise NotFiniteError(
                    f"plate {name!r}: the log likelihood of some rows has no gradient at the "
                    "reference that it is expanded around; pass reference={...}, values near the "
                    "mode of the posterior"
                )
        return center

    def _likelihoods_of(self, position: Tensor, name: str, rows: Tensor) -> Tensor:
        with self.rows.holding({name: rows}):
            return self._parts(position)[1][name]

    def _unconstrained(self, reference: Mapping[str, Tensor], start: Tensor) -> Tensor:
        missing = sorted(set(self.layout.names) - reference.keys())
        if missing:
            raise MissingSiteError(f"reference has no values of the latent sites {missing}")
        trace, messenger = self.model._run(self.layout.unpack(start))
        return self.layout.pack(
            {
                name: messenger._used[name].inv(
                    torch.as_tensor(reference[name]).to(trace.nodes[name]["value"])
                )
                for name in self.layout.names
            }
        )

    def _mode(self, start: Tensor) -> Tensor:
        """Return where the density given all data is largest, by a quasi-Newton search."""
        position = start.clone().requires_grad_()
        search = torch.optim.LBFGS(
            [position], max_iter=MAX_STEPS, tolerance_grad=TOLERANCE, line_search_fn="strong_wolfe"
        )
        total = sum(size for size, _ in self.plates.values())

        def loss() -> Tensor:
            value, gradient = self._whole(position.detach())
            position.grad = gradient / total
            return value / total

        search.step(loss)
        if not bool(position.isfinite().all()):
            raise NotFiniteError(
                "the search for the mode of the posterior went astray; pass reference={...}, "
                "values near it"
            )
        return position.detach()

    def _warn_if_far(self, center: Tensor) -> None:
        """Warn that a position is far from the mode, as the slope and curvature along it say.

        There the estimate varies little, so that a chain would stay without the posterior there.
        """
        _, gradient = self._whole(center)
        size = gradient.norm()
        step = torch.finfo(center.dtype).eps ** (1 / 3) * (1 + center.norm())
        _, beyond = self._whole(center - step * gradient / size.clamp(min=1e-30))
        curvature = (gradient - beyond) @ gradient / (size * step).clamp(min=1e-30)
        squared = float(size**2 / curvature) if float(curvature) > 0 else torch.inf
        if float(size) > 0 and squared > FAR + len(center):
            warn(
                "HMCECS: the reference that the likelihoods are expanded around is about "
                f"{squared**0.5:.3g} standard deviations away from the mode of the posterior, so "
                "that the draws may stay where they should not: pass values nearer to it, or leave "
                "reference out"
            )

    def _whole(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return the potential given all data, ``()``, and its gradient ``(dim,)``."""
        rest = torch.func.grad_and_value(lambda z: -self._parts(z)[0])
        gradient, value = rest(position)
        for name, (size, number) in self.plates.items():
            found = sum_over_rows(
                lambda z, rows, name=name: self._likelihoods_of(z, name, rows),  # type: ignore[misc]
                position,
                size,
                number,
            )
            value, gradient = value - found[0], gradient - found[1]
        return value, gradient


def _by_row(log_prob: Tensor, dim: int, number: int) -> Tensor:
    """Return a log density by the rows of a plate, ``(number,)``, summed over other plates."""
    shape = (1,) * max(0, -dim - log_prob.dim()) + tuple(log_prob.shape)
    wide = log_prob.reshape(shape).movedim(dim, 0)
    return wide.expand(number, *wide.shape[1:]).reshape(number, -1).sum(-1)
