"""NUTS against the reference posteriors of real data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import ppl
from ppl import settings
from ppl.errors import PPLWarning
from ppl.infer import MCMC, NUTS
from ppl.infer.initialization import init_to_value
from ppl.ops.stats import rhat

from . import eight_schools
from .catalogue import EXPLORABLE
from .flat_regression import MESQUITE
from .gaussian_process import GAUSSIAN_PROCESS
from .peregrines import PEREGRINES
from .posterior import HEADER, Posterior, compare
from .wells import WELLS

NUM_CHAINS = 4


class Mode(NamedTuple):
    """How a run is executed: the setting `mcmc_tier` and the argument `chain_method`."""

    tier: str
    chain_method: str

    def __str__(self) -> str:
        return f"{self.tier}-{self.chain_method}"


MODES = [
    Mode(tier, chain_method)
    for tier in ("inductor", "graph", "eager")
    for chain_method in ("vectorized", "sequential")
]
USUAL = MODES[0]
FAST = [GAUSSIAN_PROCESS, MESQUITE, PEREGRINES, WELLS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let tests have the usual mode and some posteriors, or with ``--every-mode`` all of them."""
    every = metafunc.config.getoption("--every-mode")
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", MODES if every else [USUAL], ids=str)
    if "fast_posterior" in metafunc.fixturenames:
        metafunc.parametrize("fast_posterior", EXPLORABLE if every else FAST, ids=str)


@pytest.mark.parametrize("posterior", EXPLORABLE, ids=str)
def test_nuts_agrees_with_the_reference(posterior, mode):
    samples = draw(posterior, mode, posterior.num_samples)
    rows = compare(samples, posterior.reference)
    table = "\n".join([HEADER, *map(str, rows)])
    print(table)
    assert max(float(rhat(samples[name]).max()) for name in posterior.reference) < 1.01
    assert min(row.ess for row in rows) > 100 * NUM_CHAINS
    # 6e-5 by chance for the mean of each of 350 scalars, and as much for its deviation
    assert all(row.agrees for row in rows)


def test_every_mode_makes_the_same_draws(fast_posterior):
    expected = draw(fast_posterior, USUAL, 20)
    for mode in MODES[1:]:
        samples = draw(fast_posterior, mode, 20)
        for name in fast_posterior.reference:  # trajectories amplify the errors of rounding
            torch.testing.assert_close(samples[name], expected[name], rtol=1e-5, atol=1e-6)


def draw(posterior: Posterior, mode: Mode, num_samples: int) -> Mapping[str, Tensor]:
    """Return draws of NUTS by variable, ``(chain, draw, *event)``."""
    ppl.set_rng_seed(1)
    kernel = NUTS(
        posterior.model, init_strategy=init_to_value(values=posterior.start), **posterior.options
    )
    mcmc = MCMC(
        kernel,
        num_samples,
        warmup_steps=num_samples // 2,
        num_chains=NUM_CHAINS,
        disable_progbar=True,
        chain_method=mode.chain_method,
    )
    with settings.context(mcmc_tier=mode.tier), warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # few draws, and the tests judge for themselves
        warnings.filterwarnings("error", "the model runs without recording", PPLWarning)
        mcmc.run(**posterior.arguments)
    return mcmc.get_samples(group_by_chain=True)


def test_the_centred_eight_schools_are_reported_as_not_to_be_trusted(capsys):
    ppl.set_rng_seed(1)
    model, arguments = eight_schools.CENTERED.model, eight_schools.CENTERED.arguments
    mcmc = MCMC(NUTS(model), 500, warmup_steps=500, num_chains=4, disable_progbar=True)
    with pytest.warns(PPLWarning, match="diverg"):
        mcmc.run(**arguments)
    mcmc.summary()
    printed = capsys.readouterr().out
    assert "Do not trust these draws" in printed
    assert "non-cent" in printed
