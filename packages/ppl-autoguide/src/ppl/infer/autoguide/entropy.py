"""The entropy of a program whose sites are independent, such as a mean-field guide."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.poutine.util import prune_subsample_sites, site_is_factor


def mean_field_entropy(
    model: Callable[..., Any], args: tuple[Any, ...], whitelist: Collection[str] | None = None
) -> Tensor:
    """Return the sum of the entropies of the sample sites of one execution, a scalar in nats.

    That is the entropy of the program if its sites are independent. Observed sites count, factors,
    deterministic values and subsamples of plates do not.

    Args:
        model: The program.
        args: Its arguments.
        whitelist: The names of the sites that count; default: all of them.

    Raises:
        NotImplementedError: If a distribution has no entropy in closed form.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> round(mean_field_entropy(lambda: sample("x", dist.Normal(0.0, 1.0)), ()).item(), 4)
        1.4189
    """
    trace = prune_subsample_sites(poutine.trace(model).get_trace(*args))
    counted = [
        site["fn"].entropy().sum()
        for name, site in trace.nodes.items()
        if site["type"] == "sample"
        and not (site_is_factor(site) or site["infer"].get("_deterministic"))
        and (whitelist is None or name in whitelist)
    ]
    return torch.stack(counted).sum() if counted else torch.zeros(())
