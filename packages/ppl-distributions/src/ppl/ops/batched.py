"""Records of tensors that share their batch dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from ppl.distribution.util import broadcast_shape

Self = TypeVar("Self", bound="Batched")


class Batched:
    """Base of dataclasses of tensors, each of which has batch and then event dimensions.

    The batch dimensions need not be the same, but must broadcast: what many members share is
    stored, and computed with, once.

    Attributes:
        event_dims: For each tensor, the number of its event dimensions.
    """

    event_dims: ClassVar[tuple[int, ...]]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The attributes, in order."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    @property
    def batch_shape(self) -> torch.Size:
        """The shape that the batch dimensions broadcast to."""
        parts = zip(self.tensors, self.event_dims, strict=True)
        return torch.Size(broadcast_shape(*(x.shape[: x.dim() - n] for x, n in parts)))

    def expand(self: Self, batch_shape: Any) -> Self:
        """Return this record with its batch dimensions expanded."""
        shape = torch.Size(batch_shape)
        parts = zip(self.tensors, self.event_dims, strict=True)
        return type(self)(*(x.expand(shape + x.shape[x.dim() - n :]) for x, n in parts))

    def reshape(self: Self, batch_shape: Any) -> Self:
        """Return this record with its batch dimensions reshaped."""
        shape = torch.Size(batch_shape)
        parts = zip(self.expand(self.batch_shape).tensors, self.event_dims, strict=True)
        return type(self)(*(x.reshape(shape + x.shape[x.dim() - n :]) for x, n in parts))

    def __getitem__(self: Self, index: Any) -> Self:
        """Return the members at an index into the batch dimensions."""
        index = index if isinstance(index, tuple) else (index,)
        parts = zip(self.expand(self.batch_shape).tensors, self.event_dims, strict=True)
        return type(self)(*(x[index + (slice(None),) * n] for x, n in parts))

    @classmethod
    def cat(cls: type[Self], parts: Sequence[Self], dim: int = 0) -> Self:
        """Return records put one after another along a batch dimension."""
        whole = [part.expand(part.batch_shape) for part in parts]
        dim = dim - len(whole[0].batch_shape) if dim >= 0 else dim
        columns = zip(*(part.tensors for part in whole), strict=True)
        joined = zip(columns, cls.event_dims, strict=True)
        return cls(*(torch.cat(column, dim - n) for column, n in joined))
