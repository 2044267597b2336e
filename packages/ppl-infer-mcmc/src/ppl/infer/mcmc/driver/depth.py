"""What to do about trajectories that end before they turn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

CORRELATED = 0.9  # from here on a trajectory in a diagonal metric is long
MOST_NUMBERS = 1000  # of a draw: correlations of more are not looked at
CENTRE = "centre and scale regressors, as in (x - x.mean()) / x.std()"


def depth_advice(samples: Mapping[str, Tensor], is_dense: bool) -> str:
    """Say what to do, and about which sites.

    Args:
        samples: Draws of the latent sites, ``(chain, draw, *site)``.
        is_dense: Whether the metric is dense in some sites already.
    """
    sites = correlated_sites(samples)
    if not sites or is_dense:
        return (
            "raise max_tree_depth, or reparametrize: the posterior needs very long trajectories; "
            f"{CENTRE}, or use float64"
        )
    return (
        f"the sites {', '.join(sites)} are nearly functions of each other: pass "
        f"full_mass=True, as in NUTS(model, full_mass=True), or {CENTRE}"
    )


def correlated_sites(samples: Mapping[str, Tensor]) -> list[str]:
    """Return the sites with a number that is highly correlated with another one, in some chain.

    Looked at are the steps from draw to draw, which tell the shape of the posterior where a chain
    is, also of one that has hardly moved.
    """
    steps = {name: x.reshape(*x.shape[:2], -1).double().diff(dim=1) for name, x in samples.items()}
    widths = [x.shape[2] for x in steps.values()]
    if not 1 < sum(widths) <= MOST_NUMBERS:
        return []
    chains = torch.cat(list(steps.values()), 2)
    correlation = torch.stack([torch.corrcoef(chain.T) for chain in chains]).abs().nan_to_num(0.0)
    correlation.diagonal(dim1=1, dim2=2).zero_()
    found = (correlation > CORRELATED).any(0).any(0)
    return [name for name, x in zip(steps, found.split(widths), strict=True) if bool(x.any())]
