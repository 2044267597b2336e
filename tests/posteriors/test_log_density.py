"""Log densities against Stan's, exactly."""

from __future__ import annotations

import pytest
import torch

from .catalogue import POSTERIORS


@pytest.mark.parametrize("posterior", POSTERIORS, ids=str)
def test_log_density_agrees_with_stan_up_to_a_constant(posterior):
    points = posterior.log_densities
    ours = torch.stack([posterior.log_density(params) for params, _ in points])
    stan = torch.tensor([value for _, value in points], dtype=torch.float64)
    difference = ours - stan
    assert ours.dtype is torch.float64
    assert difference.max() - difference.min() <= 1e-6 * (stan.max() - stan.min())
