"""Whether a posterior can be used, by what its kind of draws allows to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ppl.ops.stats import psis

from ..diagnostics import MIN_ESS_PER_CHAIN, Verdict, assess
from .elpd import good_k

if TYPE_CHECKING:
    from .posterior import Posterior

USE = "use it: posterior.summary(), posterior.predict(...), posterior.loo()"
SAMPLE = 'ppl.infer.posterior(model, *data, method="nuts")'
RATIO = "log_ratio"  # of the joint density to that of the guide: a statistic of its draws


def judge(posterior: Posterior) -> Verdict:
    """Return the verdict on a posterior."""
    return _with_next_step(_by_kind(posterior))


def judged(
    assess: Callable[[Mapping[str, Tensor], Tensor], Verdict], posterior: Posterior
) -> Verdict:
    """Return the verdict on Markov chains of a sampler with an assessment of its own.

    Args:
        assess: From draws by site, and which of them diverged, to the verdict.
        posterior: The posterior.
    """
    diverging = posterior.statistics.get("diverging", torch.zeros(posterior.shape))
    return _with_next_step(assess(posterior.latent_draws(), diverging.bool()))


def _with_next_step(verdict: Verdict) -> Verdict:
    if verdict.next_step:
        return verdict
    step = USE if verdict.reliable else verdict.advice[0] if verdict.advice else ""
    return replace(verdict, next_step=step)


def _by_kind(posterior: Posterior) -> Verdict:
    if posterior.are_chains:
        return judged(assess, posterior)
    missing = [name for name, x in posterior.latent_draws().items() if bool(x.isnan().any())]
    if missing:
        return _bad(f"{', '.join(missing)}: some draws are nan", "look at posterior.draws")
    if posterior.log_weights is not None:
        return _of_weights(posterior.log_weights.flatten())
    if RATIO in posterior.statistics:
        if posterior.num_draws > 1 and all(map(_is_constant, posterior.latent_draws().values())):
            return _bad("the guide is a point: it has no spread", SAMPLE)
        return of_guide(posterior.statistics[RATIO].flatten())
    if "acceptance_rate" in posterior.history:
        return _of_particles(posterior.history, posterior.shape[1])
    return _bad(
        f"nothing tells how near draws by {posterior.method!r} are to the posterior",
        f"compare with {SAMPLE}",
    )


def of_guide(log_ratio: Tensor) -> Verdict:
    """Return the verdict on draws of a guide by the ratios of the joint density to its own.

    The ratios are importance weights: their tail says whether the guide covers the posterior
    (Yao et al. 2018, "Yes, but did it work?: Evaluating variational inference").
    """
    if not bool(log_ratio.isfinite().any()) or bool(log_ratio.isnan().any()):
        return _bad("the joint density at draws of the guide is zero, or nan", SAMPLE)
    k, bound = psis(log_ratio.double())[1].item(), good_k(len(log_ratio))
    if k <= bound:
        return Verdict(True, (), ())
    return _bad(
        f"the guide misses parts of the posterior: Pareto k is {k:.2f}, above {bound:.2f}",
        f'{SAMPLE}, or a richer guide: method="svi", guide="AutoMultivariateNormal"',
    )


def _of_weights(log_weights: Tensor) -> Verdict:
    size = (-(2 * log_weights).logsumexp(0)).exp().item()
    k, bound = psis(log_weights)[1].item(), good_k(len(log_weights))
    reasons = []
    if k > bound and len(log_weights) > size:
        reasons.append(f"a few draws carry the weights: Pareto k is {k:.2f}, above {bound:.2f}")
    if size < MIN_ESS_PER_CHAIN:
        reasons.append(f"{len(log_weights)} draws are worth {size:.0f} (less than 100)")
    if not reasons:
        return Verdict(True, (), ())
    advice = 'more draws, a guide nearer to the posterior, or method="smc" or "nuts"'
    return Verdict(False, tuple(reasons), (advice,), next_step=SAMPLE)


def _of_particles(history: Mapping[str, Tensor], num_particles: int) -> Verdict:
    rate = history["acceptance_rate"].min().item() if history["acceptance_rate"].numel() else 1.0
    reasons = []
    if not rate >= 0.1:
        reasons.append(f"particles hardly moved: in some step {rate:.0%} of the moves")
    if num_particles < 4 * MIN_ESS_PER_CHAIN:
        reasons.append(f"{num_particles} particles are few (less than {4 * MIN_ESS_PER_CHAIN})")
    if not reasons:
        return Verdict(True, (), ())
    again = 'ppl.infer.posterior(model, *data, method="smc", num_particles=4000, num_moves=20)'
    return Verdict(False, tuple(reasons), ("more particles, and more moves",), next_step=again)


def _is_constant(draws: Tensor) -> bool:
    flat = draws.flatten(0, 1)
    return bool((flat == flat[:1]).all())


def _bad(reason: str, advice: str) -> Verdict:
    return Verdict(False, (reason,), (advice,), next_step=advice)
