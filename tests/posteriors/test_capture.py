"""Potentials can be recorded through the handlers, batched and differentiated, and replayed."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad_and_value, vmap

from ppl.engine import record
from ppl.infer.mcmc.util import initialize_model
from ppl.validation import validation_enabled

from .catalogue import POSTERIORS


@pytest.mark.parametrize("posterior", POSTERIORS, ids=str)
def test_a_recorded_potential_equals_the_eager_one_at_new_points(posterior):
    initial, potential, _, _ = initialize_model(posterior.model, model_kwargs=posterior.arguments)
    batched = vmap(grad_and_value(potential))
    generator = torch.Generator().manual_seed(0)

    def points(num_chains):
        return {
            name: torch.randn((num_chains, *x.shape), generator=generator, dtype=torch.float64)
            for name, x in initial.items()
        }

    program = record(batched, points(3))
    for _ in range(4):
        z = points(3)
        with validation_enabled(False):
            expected = [
                grad_and_value(potential)({k: x[i] for k, x in z.items()}) for i in range(3)
            ]
        gradient, value = program(z)
        torch.testing.assert_close(
            value, torch.stack([v for _, v in expected]), rtol=1e-12, atol=1e-10
        )
        for name in initial:
            torch.testing.assert_close(
                gradient[name], torch.stack([g[name] for g, _ in expected]), rtol=1e-9, atol=1e-9
            )
