"""The torch optimizers of a PyroOptim, one for each parameter, as programs read and change them."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from .optim import PyroOptim


class OptimObjs(MutableMapping[Tensor, Any]):
    """A view of an optimizer: from a parameter to the torch optimizer, or scheduler, of its own.

    Parameters share a torch optimizer until one is asked for; from then on that parameter has its
    own, so that changing a learning rate here changes that of one parameter. Deleting an entry
    makes the parameter start afresh.

    Args:
        owner: The optimizer.
    """

    def __init__(self, owner: PyroOptim) -> None:
        self._owner = owner

    def __getitem__(self, param: Tensor) -> Any:
        group = self._owner._isolate(param)
        return group.optimizer if group.scheduler is None else group.scheduler

    def __setitem__(self, param: Tensor, optimizer: Any) -> None:
        self._owner._replace(param, optimizer)

    def __delitem__(self, param: Tensor) -> None:
        self._owner._drop(param)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(tuple(self._owner._group_of))

    def __len__(self) -> int:
        return len(self._owner._group_of)

    def __repr__(self) -> str:
        return f"OptimObjs of {len(self)} parameters of {self._owner!r}"
