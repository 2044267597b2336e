"""The distribution of a constant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.errors import ShapeError

from .mixin import TorchDistribution
from .util import broadcast_shape, sum_rightmost


class Delta(TorchDistribution):
    """The distribution that puts probability one on a single point.

    Args:
        v: The point, shape ``(*batch, *event)``.
        log_density: Log density (nats) at the point, a number or a tensor of shape ``batch``;
            not zero when the point is the image of a value under a differentiable transform.
        event_dim: Number of rightmost dimensions of ``v`` that make up one event.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``v`` has fewer than ``event_dim`` dimensions or ``log_density`` does not
            broadcast with its batch shape.

    Example:
        >>> d = Delta(torch.zeros(3), event_dim=1)
        >>> d.log_prob(torch.zeros(3)).item(), d.log_prob(torch.ones(3)).item()
        (0.0, -inf)
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "v": constraints.real,
        "log_density": constraints.real,
    }
    real_parameters = ("log_density",)  # the point may be an index

    def __init__(
        self,
        v: Tensor | float,
        log_density: Tensor | float = 0.0,
        event_dim: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        v = torch.as_tensor(v)
        if event_dim > v.dim():
            raise ShapeError(
                f"Delta: event_dim is {event_dim}, but v has shape {tuple(v.shape)}; "
                "a value needs at least as many dimensions as its event"
            )
        batch_dim = v.dim() - event_dim
        batch_shape, event_shape = v.shape[:batch_dim], v.shape[batch_dim:]
        if not isinstance(log_density, Tensor):
            dtype = v.dtype if v.is_floating_point() else torch.get_default_dtype()
            log_density = torch.full((), log_density, dtype=dtype, device=v.device)
        batch_shape = torch.Size(broadcast_shape(batch_shape, log_density.shape))
        self.v: Tensor = v.expand(batch_shape + event_shape)
        self.log_density: Tensor = log_density.expand(batch_shape)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Delta:
        new: Any = type(self).__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.v = self.v.expand(batch_shape + self.event_shape)
        new.log_density = self.log_density.expand(batch_shape)
        super(Delta, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new  # type: ignore[no-any-return]

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        return constraints.independent(constraints.real, self.event_dim)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self.v.expand(self.shape(sample_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(x)
        at_point = torch.where(x == self.v, 0.0, -torch.inf)
        at_point = at_point.to(self.log_density.dtype)
        return sum_rightmost(at_point, self.event_dim) + self.log_density

    @property
    def mean(self) -> Tensor:
        return self.v

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.v)
