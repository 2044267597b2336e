"""Log densities against Stan's, exactly."""

from __future__ import annotations

import pytest
import torch

from .eight_schools import CENTERED, NONCENTERED
from .kidiq import KIDIQ
from .radon import RADON
from .wells import WELLS


@pytest.mark.parametrize("posterior", [WELLS, CENTERED, NONCENTERED, KIDIQ, RADON], ids=str)
def test_log_density_agrees_with_stan_up_to_a_constant(posterior):
    points = posterior.log_densities
    ours = torch.stack([posterior.log_density(params) for params, _ in points])
    stan = torch.tensor([value for _, value in points], dtype=torch.float64)
    difference = ours - stan
    assert ours.dtype is torch.float64
    assert difference.max() - difference.min() <= 1e-6 * (stan.max() - stan.min())
