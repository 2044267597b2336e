"""What a run of MCMC found, and whether to believe it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ppl.errors import ShapeError, SupportError
from ppl.ops import stats

Summary = dict[str, dict[str, Tensor]]

MAX_R_HAT = 1.01  # Vehtari et al. 2021, section 4
ALMOST_R_HAT = 1.05  # Gelman & Rubin's chains, of the usual size, are then about a tenth apart
MIN_ESS_PER_CHAIN = 100  # same place: below it R-hat and ESS are themselves too noisy to be used
FEW_CHAINS = 4  # what so many chains must have is enough for more of them
_MAX_NAMED = 3  # components that a reason names; the others are counted

DIVERGENCE_ADVICE = (
    "reparametrize: write theta ~ Normal(mu, tau) non-centred, as theta = mu + tau * z with "
    "z ~ Normal(0, 1), which opens the neck of a funnel: poutine.reparam(model, config={'theta': "
    "LocScaleReparam(0.0)}) does so",
    "raise target_accept_prob (0.9, 0.95, 0.99) for smaller steps",
    "tighten priors that leave the scales of the model unbounded",
)
MIXING_ADVICE = (
    "raise warmup_steps and num_samples; chains that stay apart point at several modes or at a "
    "model that the data do not identify",
    "start the chains from other points, or look at a trace plot of the named sites",
)
PRECISION_ADVICE = (
    "raise num_samples in proportion to the effective sample size that is wanted",
    "reparametrize, or set full_mass=True if the named sites are correlated",
)
STUCK_ADVICE = (
    "check that the log density is finite and differentiable at the initial values, and let the "
    "step size adapt",
)
MISSING_ADVICE = (
    "find the operation that made the nan: ppl.enable_validation(True) names its site",
)


@dataclass(frozen=True)
class Verdict:
    """Whether the draws can be used, why not, and what to try.

    Attributes:
        reliable: True if no reason was found against the draws.
        reasons: What was found, one sentence each, with the sites it concerns.
        advice: What to do about it, the most promising first.
        needs_only_draws: Whether the chains agree nearly, so that more draws may be all it takes.
        next_step: What to type next, if that is known.
    """

    reliable: bool
    reasons: tuple[str, ...]
    advice: tuple[str, ...]
    needs_only_draws: bool = False
    next_step: str = ""

    def __str__(self) -> str:
        return self._findings() + (f"\nNext: {self.next_step}" if self.next_step else "")

    def _findings(self) -> str:
        if self.reliable:
            return "The draws look reliable."
        heading = "More draws are needed" if self.needs_only_draws else "Do not trust these draws"
        reasons = "".join(f"\n- {reason}" for reason in self.reasons)
        advice = "".join(f"\n- {advice}" for advice in self.advice)
        return f"{heading}:{reasons}\nWhat to try:{advice}"

    def brief(self) -> str:
        """Return the reasons with the most promising advice, for a warning before the whole."""
        if self.reliable:
            return self._findings()
        return "\n".join((*self.reasons, *self.advice[:1]))


def summary(samples: Mapping[str, Tensor], prob: float = 0.9) -> Summary:
    """Return the posterior summary of each site.

    Args:
        samples: Draws by site, shape ``(chain, draw, *event)``.
        prob: The mass of the central interval, in ``(0, 1)``.

    Returns:
        For each site the statistics ``mean``, ``std``, ``median``, the two ends of the interval
        (named by their level, ``"5.0%"`` and ``"95.0%"``), ``n_eff`` (bulk effective sample size),
        ``ess_tail`` and ``r_hat`` (rank-normalised, split), each of shape ``event``, float64.

    Raises:
        ShapeError: If a site has no chain and draw dimension, or no draws.
        SupportError: If ``prob`` is outside ``(0, 1)``.

    Example:
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> sorted(summary({"theta": draws})["theta"])
        ['5.0%', '95.0%', 'ess_tail', 'mean', 'median', 'n_eff', 'r_hat', 'std']
    """
    if not 0 < prob < 1:
        raise SupportError(f"prob must lie in (0, 1), got {prob}")
    return {name: _site_summary(_checked(name, draws), prob) for name, draws in samples.items()}


def format_summary(
    table: Mapping[str, Mapping[str, Tensor]],
    labels: Mapping[str, Sequence[Sequence[Any]]] | None = None,
) -> str:
    """Return an aligned table of a :func:`summary`, one row for each scalar component.

    Args:
        table: What :func:`summary` returned.
        labels: What to call the elements of each dimension of a site, by default their numbers.

    Returns:
        Lines joined by newlines: a header, then rows named ``mu``, ``theta[0]``, ``corr[0,1]``.

    Example:
        >>> draws = torch.arange(8.0).reshape(2, 4, 1)
        >>> print(format_summary({"x": {"mean": draws.mean((0, 1)), "n_eff": torch.tensor([8.0])}}))
              mean  n_eff
        x[0]   3.5      8
    """
    columns = list(next(iter(table.values()), {}))
    rows = [["", *columns]]
    for site, statistics in table.items():
        shape = next(iter(statistics.values())).shape
        flat = [statistics[column].reshape(-1).tolist() for column in columns]
        names = _component_names(site, shape, (labels or {}).get(site))
        for name, *values in zip(names, *flat, strict=True):
            rows.append([name, *map(_format_value, columns, values)])
    return _align(rows)


def assess(samples: Mapping[str, Tensor], divergences: Tensor | int = 0) -> Verdict:
    """Return whether draws of MCMC can be believed, and what to do if they cannot.

    Draws are refused for divergent transitions (Betancourt 2017), for components whose chains
    disagree (``r_hat > 1.01``), for components with a bulk or tail effective sample size below 100
    a chain, or 400 for four chains and more (Vehtari et al. 2021), for nan draws, and if no chain
    moved. A component that is constant by construction, such as a diagonal of ones, is not held
    against them.

    Args:
        samples: Draws by site, shape ``(chain, draw, *event)``.
        divergences: Which transitions diverged, boolean of shape ``(chain, draw)``, or how many.
            From the former the sites where the divergences gather are named.

    Returns:
        The verdict, with sites and components named as in :func:`format_summary`.

    Raises:
        ShapeError: If a site has no chain and draw dimension or no draws, or if ``divergences`` has
            another shape than the chains.
    """
    chains = {name: _checked(name, draws) for name, draws in samples.items()}
    mask = divergences if isinstance(divergences, Tensor) else None
    if mask is not None:
        _check_divergences(mask, chains)
    components = list(_components(chains))
    findings = [
        _find_divergences(components, int(torch.as_tensor(divergences).sum()), mask),
        _find_missing(components),
        _find_stuck(components),
        *_find_poor(components),
    ]
    found = [finding for finding in findings if finding is not None]
    advice = dict.fromkeys(itertools.chain.from_iterable(finding.advice for finding in found))
    reasons = tuple(finding.reason for finding in found)
    only_draws = bool(found) and all(finding.needs_only_draws for finding in found)
    return Verdict(not found, reasons, tuple(advice), only_draws)


@dataclass(frozen=True)
class _Finding:
    reason: str
    advice: tuple[str, ...]
    needs_only_draws: bool = False


@dataclass(frozen=True)
class _Component:
    """One scalar of one site and what is known of its chains."""

    name: str
    draws: Tensor  # (chain, draw)
    r_hat: float
    ess: float  # the smaller of bulk and tail
    is_missing: bool
    is_constant: bool


def _checked(name: str, draws: Tensor) -> Tensor:
    if draws.dim() < 2 or draws.shape[0] == 0 or draws.shape[1] == 0:
        raise ShapeError(
            f"site {name!r}: draws have shape {tuple(draws.shape)}, but (chain, draw, *event) with "
            "at least one draw is needed; for a single chain pass draws.unsqueeze(0)"
        )
    return draws.detach().double()


def _check_divergences(mask: Tensor, chains: Mapping[str, Tensor]) -> None:
    for name, draws in chains.items():
        if mask.shape != draws.shape[:2]:
            raise ShapeError(
                f"divergences has shape {tuple(mask.shape)}, but site {name!r} has (chain, draw) = "
                f"{tuple(draws.shape[:2])}; pass one flag for each kept draw, or their number"
            )


def _site_summary(draws: Tensor, prob: float) -> dict[str, Tensor]:
    low, high = (1 - prob) / 2, (1 + prob) / 2
    pooled = draws.flatten(0, 1)
    ends = stats.quantile(pooled, [low, 0.5, high])
    return {
        "mean": pooled.mean(0),
        "std": pooled.std(0) if len(pooled) > 1 else torch.full_like(pooled[0], math.nan),
        "median": ends[1],
        f"{low:.1%}": ends[0],
        f"{high:.1%}": ends[2],
        "n_eff": stats.ess_bulk(draws),
        "ess_tail": stats.ess_tail(draws),
        "r_hat": stats.rhat(draws),
    }


def _component_names(
    site: str, shape: Sequence[int], labels: Sequence[Sequence[Any]] | None = None
) -> Iterator[str]:
    for index in itertools.product(*(labels or map(range, shape))):
        yield f"{site}[{','.join(map(str, index))}]" if index else site


def _format_value(column: str, value: float) -> str:
    if column in ("n_eff", "ess_tail"):
        return f"{value:.0f}"
    return f"{value:.3f}" if column == "r_hat" else f"{value:.4g}"


def _align(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *values in rows:
        cells = [name.ljust(widths[0]), *map(str.rjust, values, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _components(chains: Mapping[str, Tensor]) -> Iterator[_Component]:
    for site, draws in chains.items():
        flat = draws.flatten(2) if draws.dim() > 2 else draws.unsqueeze(-1)
        ess = torch.minimum(stats.ess_bulk(flat), stats.ess_tail(flat)).tolist()
        r_hat = stats.rhat(flat).tolist()
        missing = flat.isnan().any(0).any(0).tolist()
        constant = (flat == flat[:1, :1]).all(0).all(0).tolist()
        names = _component_names(site, draws.shape[2:])
        yield from map(_Component, names, flat.unbind(-1), r_hat, ess, missing, constant)


def _find_divergences(
    components: Sequence[_Component], count: int, mask: Tensor | None
) -> _Finding | None:
    if count == 0:
        return None
    reason = (
        f"{count} divergent transition{'s' if count > 1 else ''}: the posterior is not explored"
    )
    where = _where_divergent(components, mask.bool()) if mask is not None else ""
    return _Finding(reason + where, DIVERGENCE_ADVICE)


def _where_divergent(components: Sequence[_Component], mask: Tensor) -> str:
    """Name the components whose divergent draws lie lower or higher than the others."""
    gathered = []
    for component in components:
        rank = component.draws.flatten().argsort().argsort().reshape(mask.shape).double()
        spread = math.sqrt((rank.numel() ** 2 - 1) / 12 / int(mask.sum()))
        shift = (
            rank[mask].mean() - (rank.numel() - 1) / 2
        ) / spread  # standard normal if unrelated
        if not component.is_constant and abs(float(shift)) > 4:
            gathered.append((abs(float(shift)), component, "low" if shift < 0 else "high"))
    gathered.sort(key=lambda entry: -entry[0])
    named = [f"{side} {component.name}" for _, component, side in gathered[:_MAX_NAMED]]
    return f"; they gather at {', '.join(named)}" if named else ""


def _find_missing(components: Sequence[_Component]) -> _Finding | None:
    missing = [component for component in components if component.is_missing]
    if not missing:
        return None
    return _Finding(f"{_listed(missing)}: some draws are nan", MISSING_ADVICE)


def _find_stuck(components: Sequence[_Component]) -> _Finding | None:
    if not components or not all(component.is_constant for component in components):
        return None
    return _Finding(f"{_listed(components)}: no chain has moved", STUCK_ADVICE)


def _find_poor(components: Sequence[_Component]) -> Iterator[_Finding | None]:
    judged = [c for c in components if not (c.is_constant or c.is_missing)]
    num_chains = len(judged[0].draws) if judged else 1
    needed = MIN_ESS_PER_CHAIN * min(num_chains, FEW_CHAINS)
    # written as "not good" rather than "bad", so that the nan of too few draws is refused
    apart = [c for c in judged if not c.r_hat <= MAX_R_HAT]
    scarce = [c for c in judged if not c.ess >= needed]
    if apart:
        yield _apart(_worst(apart, lambda c: -c.r_hat))
    if scarce:
        worst = _worst(scarce, lambda c: c.ess)
        ess = worst[0].ess
        reason = f"{_listed(worst)}: effective sample size down to {ess:.0f} (less than {needed}"
        reason += f", about {needed / ess:.1f} times as many draws)" if ess > 0 else ")"
        yield _Finding(reason, PRECISION_ADVICE, needs_only_draws=ess > 0)


def _apart(worst: Sequence[_Component]) -> _Finding:
    """Say how far chains are from agreeing: the variance between them falls with their length."""
    r_hat = worst[0].r_hat
    reason = f"{_listed(worst)}: r_hat up to {r_hat:.3f} (more than {MAX_R_HAT})"
    if r_hat <= ALMOST_R_HAT:
        times = (r_hat**2 - 1) / (MAX_R_HAT**2 - 1)
        reason += f", the chains nearly agree: about {times:.1f} times as many draws"
        return _Finding(reason, PRECISION_ADVICE, needs_only_draws=True)
    return _Finding(f"{reason}, the chains have not found the same distribution", MIXING_ADVICE)


def _worst(
    components: Sequence[_Component], badness: Callable[[_Component], float]
) -> list[_Component]:
    """Return components with the worst first; nan, which no order places, is the worst."""
    return sorted(components, key=lambda c: (not math.isnan(badness(c)), badness(c)))


def _listed(components: Sequence[_Component]) -> str:
    named = ", ".join(component.name for component in components[:_MAX_NAMED])
    others = len(components) - _MAX_NAMED
    return f"{named} and {others} more" if others > 0 else named
