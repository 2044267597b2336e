"""Guides that need no learning rate against the reference posteriors of real data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import ppl
from ppl.errors import PPLWarning
from ppl.infer import MCMC, NUTS
from ppl.infer.autoguide import AutoBatchAndMatch, AutoPathfinder

from .flat_regression import MESQUITE
from .kidiq import KIDIQ
from .posterior import Posterior, tensor
from .wells import WELLS

POSTERIORS = [KIDIQ, MESQUITE, WELLS]
CLOSE = 0.1  # standard deviations of the posterior


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


@pytest.fixture(scope="module", params=POSTERIORS, ids=str)
def found(request: Any) -> tuple[Posterior, AutoPathfinder]:
    """A posterior, and what eight paths have found of it."""
    ppl.set_rng_seed(0)
    posterior: Posterior = request.param
    guide = AutoPathfinder(posterior.model, num_paths=8, num_draws=4000)
    return posterior, guide.fit(**posterior.arguments)


def errors(draws: Mapping[str, Tensor], posterior: Posterior) -> tuple[float, float]:
    """Return the largest error of a mean, in deviations, and the largest of a log deviation."""
    mean_error, scale_error = 0.0, 0.0
    for name, summary in posterior.reference.items():
        mean, sd = (tensor(summary[key]) for key in ("mean", "sd"))
        values = draws[name]
        mean_error = max(mean_error, float(((values.mean(0) - mean) / sd).abs().max()))
        scale_error = max(scale_error, float((values.std(0) / sd).log().abs().max()))
    return mean_error, scale_error


def test_pathfinder_has_the_means_and_deviations_of_the_reference(found):
    """Four thousand weighted draws, worth a thousand: an error of a mean is 0.03 deviations."""
    posterior, guide = found
    mean_error, scale_error = errors(guide.get_samples(), posterior)
    assert mean_error < CLOSE
    assert scale_error < CLOSE
    assert guide.pareto_k < 0.7


@pytest.mark.parametrize("posterior", [MESQUITE, WELLS], ids=str)
def test_a_normal_by_batch_and_match_has_them_too(posterior):
    """But for tails that are heavier than those of a normal: deviations are a little too small."""
    guide = AutoBatchAndMatch(posterior.model)
    guide.fit(**posterior.arguments, num_steps=300)
    with torch.no_grad():
        draws = guide._constrain(guide.get_posterior().sample((10_000,)))
    mean_error, scale_error = errors(draws, posterior)
    assert mean_error < CLOSE
    assert scale_error < 0.2


def test_chains_that_start_at_pathfinder_need_little_warmup(found):
    posterior, guide = found
    kernel = NUTS(
        posterior.model,
        full_mass=True,
        init_strategy=guide.init_strategy(),
        inverse_mass_matrix=guide.inverse_mass_matrix(),
        adapt_mass_matrix=False,
    )
    mcmc = MCMC(kernel, 200, warmup_steps=50, num_chains=4, disable_progbar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # so few draws are not judged
        mcmc.run(**posterior.arguments)
    mean_error, _ = errors(mcmc.get_samples(), posterior)
    assert mean_error < 4 / 20  # 800 draws, worth 400 or more
    steps = mcmc.get_extra_fields()["num_steps"]
    assert steps.double().mean() < 10  # the metric is right: trajectories are short
