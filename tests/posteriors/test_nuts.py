"""NUTS against the reference posteriors of real data."""

from __future__ import annotations

import pytest

import ppl
from ppl.errors import PPLWarning
from ppl.infer import MCMC, NUTS

from .eight_schools import CENTERED, NONCENTERED
from .kidiq import KIDIQ
from .posterior import compare
from .wells import WELLS


@pytest.mark.parametrize(
    ("posterior", "num_samples", "options"),
    [
        (WELLS, 1500, {}),
        (NONCENTERED, 3000, {"target_accept_prob": 0.95}),
        (KIDIQ, 1500, {"full_mass": True}),
    ],
    ids=str,
)
def test_nuts_agrees_with_the_reference(posterior, num_samples, options):
    ppl.set_rng_seed(1)
    kernel = NUTS(posterior.model, **options)
    mcmc = MCMC(kernel, num_samples, warmup_steps=1000, num_chains=4, disable_progbar=True)
    mcmc.run(**posterior.arguments)
    for row in compare(mcmc.get_samples(group_by_chain=True), posterior.reference):
        assert row.ess > 1000, row
        assert abs(row.z) < 4, row  # 6e-5 for each of the 18 scalars
        assert abs(row.sd_ratio - 1) < 0.05, row


def test_the_centred_eight_schools_are_reported_as_not_to_be_trusted(capsys):
    ppl.set_rng_seed(1)
    mcmc = MCMC(NUTS(CENTERED.model), 500, warmup_steps=500, num_chains=4, disable_progbar=True)
    with pytest.warns(PPLWarning, match="diverg"):
        mcmc.run(**CENTERED.arguments)
    mcmc.summary()
    printed = capsys.readouterr().out
    assert "Do not trust these draws" in printed
    assert "non-cent" in printed
