"""What power-scaling of prior and likelihood does to a posterior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import MissingSiteError
from ppl.ops.stats import psis
from ppl.plugins import nearest

from ..diagnostics import format_summary
from ..inspect import get_dependencies
from ..likelihood import check_all_given
from ..predictive_runs import AtDraw, run_draws

if TYPE_CHECKING:
    from .posterior import Posterior

STEP = 0.01  # of the power: 1 / 1.01 and 1.01
NOTABLE = 0.05  # Kallioinen et al. 2024, section 3.3

CONFLICT = "prior and data may disagree"
STRONG = "the prior is strong, or the likelihood weak"


class Sensitivity(dict[str, dict[str, Tensor]]):
    """By site the sensitivities to ``"prior"`` and ``"likelihood"``, each of the site's shape.

    Above 0.05 a posterior is sensitive: to both, prior and data may disagree; to the prior alone,
    that is strong, or the data say little.
    """

    @property
    def findings(self) -> dict[str, str]:
        """What was found about sites that are sensitive to their prior."""
        found = {}
        for name, columns in self.items():
            by_prior = columns["prior"] > NOTABLE
            by_data = columns["likelihood"] > NOTABLE
            if bool((by_prior & by_data).any()):
                found[name] = CONFLICT
            elif bool(by_prior.any()):
                found[name] = STRONG
        return found

    def __str__(self) -> str:
        findings = [f"{name}: {text}" for name, text in self.findings.items()]
        return "\n".join([format_summary(self), *(findings or ["No prior matters much."])])

    __repr__ = __str__


def power_scaling(posterior: Posterior, prior: Sequence[str] | None = None) -> Sensitivity:
    """Return the sensitivity of each site to powers of prior and likelihood.

    The posterior with a power of its prior is that of reweighted draws. Sensitivity is the second
    difference at the power 1 of the distance between the distribution functions of both (the
    cumulative Jensen-Shannon distance), in units of the logarithm of the power to base 2.

    Args:
        posterior: The posterior.
        prior: The sites whose prior is scaled; by default those that depend on no other, since the
            distributions of the others are a part of what the model learns.

    Raises:
        MissingSiteError: If one of them is no latent site.

    References:
        Kallioinen et al. 2024, "Detecting and diagnosing prior and likelihood sensitivity with
        power-scaling".
    """
    equal = posterior.resampled()
    densities = log_densities(equal, _scaled_sites(equal, prior))
    weights = {name: _weights(x) for name, x in densities.items()}  # (power, draw)
    return Sensitivity(
        {
            name: {part: _sensitivity(x.flatten(0, 1), w) for part, w in weights.items()}
            for name, x in equal.draws.items()
        }
    )


def log_densities(posterior: Posterior, prior: Sequence[str]) -> dict[str, Tensor]:
    """Return the log densities of some latent sites, and of all observations, shape ``(draw,)``."""
    model = posterior._model("scale its densities")
    given = {n: x.flatten(0, 1) for n, x in posterior.latent_draws().items()}

    def at_draw(draw: dict[str, Tensor]) -> dict[str, Tensor]:
        with poutine.block(), AtDraw(draw):
            trace = poutine.trace(model).get_trace(*posterior.args, **posterior.kwargs)
        check_all_given(trace, list(given))
        return {
            "prior": torch.as_tensor(trace.log_prob_sum(lambda name, site: name in prior)),
            "likelihood": torch.as_tensor(trace.log_prob_sum(_is_observation)),
        }

    with torch.no_grad():
        first = at_draw({name: x[0] for name, x in given.items()})
        return run_draws(at_draw, given, first, posterior.num_draws, parallel=True)


def _is_observation(name: str, site: dict[str, Any]) -> bool:
    return bool(site["is_observed"]) and not site["infer"].get("_given")


def _scaled_sites(posterior: Posterior, prior: Sequence[str] | None) -> list[str]:
    latent = posterior.sites.latent
    if prior is not None:
        for name in prior:
            if name not in latent:
                raise MissingSiteError(
                    f"prior: the model has no latent site {name!r}{nearest(name, list(latent))}; "
                    f"it has {list(latent)}",
                    site=name,
                )
        return list(prior)
    model = posterior._model("find the parts of its prior")
    found = get_dependencies(model, posterior.args, dict(posterior.kwargs))["prior_dependencies"]
    return [name for name in latent if set(found.get(name, {name})) == {name}]


def _weights(log_density: Tensor) -> Tensor:
    """Return the smoothed weights of the draws for the powers below and above 1."""
    powers = log_density.new_tensor([1 / (1 + STEP), 1 + STEP], dtype=torch.double) - 1
    log_weights = powers[:, None] * log_density.double()
    return psis(log_weights, dim=1)[0].exp()


def _sensitivity(draws: Tensor, weights: Tensor) -> Tensor:
    """Return the sensitivity of each number of ``draws``, shape ``(draw, *site)``."""
    flat = draws.reshape(len(draws), -1).double()  # (draw, number)
    total = sum(torch.maximum(_distance(flat, w), _distance(-flat, w)) for w in weights)
    result = torch.as_tensor(total) / (2 * math.log2(1 + STEP))
    return result.reshape(draws.shape[1:])


def _distance(draws: Tensor, weights: Tensor) -> Tensor:
    """Return the cumulative Jensen-Shannon distance between equal and other weights."""
    ordered, order = draws.sort(0)
    widths = ordered.diff(dim=0)
    count = len(draws)
    p = torch.linspace(1 / count, 1 - 1 / count, count - 1, dtype=draws.dtype)[:, None].to(draws)
    q = weights[order].cumsum(0)[:-1] / weights.sum()
    mean = (p + q) / 2
    gap = ((q - p) * widths).sum(0) / (2 * math.log(2))
    one = _divergence(p, mean, widths) + gap
    other = _divergence(q, mean, widths) - gap
    bound = ((p + q) * widths).sum(0)
    bound = torch.where(widths.sum(0) == 0, 1.0, bound)  # what is constant has no distance
    distance: Tensor = ((one.clamp(min=0) + other.clamp(min=0)) / bound).sqrt()
    return distance


def _divergence(p: Tensor, mean: Tensor, widths: Tensor) -> Tensor:
    safe = torch.where(p > 0, p, 1.0)
    return (widths * p * (safe.log2() - torch.where(mean > 0, mean, 1.0).log2())).sum(0)
