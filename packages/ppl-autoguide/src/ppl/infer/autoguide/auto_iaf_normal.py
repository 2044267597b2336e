"""A guide that is an inverse autoregressive flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

import ppl.nn
from ppl.distributions import transforms
from ppl.errors import warn
from ppl.infer.arguments import positive_int
from ppl.infer.initialization import Strategy

from .auto_normalizing_flow import AutoNormalizingFlow
from .guide import CreatePlates


class AutoIAFNormal(AutoNormalizingFlow):
    """An inverse autoregressive flow over all latent sites, on the unconstrained scale.

    Each transform goes through the components in the order opposite to that of the one before, so
    that two of them let each component depend on all others (Kingma et al. 2016, "Improved
    variational inference with inverse autoregressive flow"). Needs ``ppl-contrib-flows``.

    Args:
        model: The model.
        hidden_dim: The size of the hidden layer of the networks, or a list of several;
            ``3 * latent_dim + 1`` by default.
        init_loc_fn: Without effect, as the flow starts near a standard normal.
        num_transforms: How many transforms there are.
        create_plates: See :class:`AutoGuide`.
        init_transform_kwargs: Further arguments of ``AffineAutoregressive``.

    Raises:
        SiteError: If ``hidden_dim`` or ``num_transforms`` is no positive integer.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        >>> guide = AutoIAFNormal(model, hidden_dim=8, num_transforms=2)
        >>> tuple(guide()["z"].shape)
        (2,)
    """

    def __init__(
        self,
        model: Callable[..., Any],
        hidden_dim: int | Sequence[int] | None = None,
        init_loc_fn: Strategy | None = None,
        num_transforms: int = 1,
        *,
        create_plates: CreatePlates | None = None,
        **init_transform_kwargs: Any,
    ) -> None:
        if init_loc_fn is not None:
            warn(
                "AutoIAFNormal starts near a standard normal: init_loc_fn has no effect; leave it "
                "out"
            )
        super().__init__(model, self._make_flow, create_plates=create_plates)
        self._hidden_dims = None if hidden_dim is None else _as_list(hidden_dim)
        self._num_transforms = positive_int("num_transforms", num_transforms)
        self._transform_kwargs = init_transform_kwargs

    def _make_flow(self, latent_dim: int) -> Any:
        hidden_dims = self._hidden_dims or [3 * latent_dim + 1]
        make: Any = transforms.AffineAutoregressive
        order = torch.arange(latent_dim)  # not random: a guide that is made anew must be the same
        flows = []
        for _ in range(self._num_transforms):
            network = ppl.nn.AutoRegressiveNN(latent_dim, hidden_dims, permutation=order)
            flows.append(make(network, **self._transform_kwargs))
            order = order.flip(0)
        return transforms.ComposeTransformModule(flows)


def _as_list(hidden_dim: int | Sequence[int]) -> list[int]:
    sizes = list(hidden_dim) if isinstance(hidden_dim, Sequence) else [hidden_dim]
    return [positive_int("hidden_dim", size) for size in sizes]
