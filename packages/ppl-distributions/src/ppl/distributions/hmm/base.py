"""What hidden Markov models share: time in the event shape."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution
from ppl.errors import ShapeError

Self = TypeVar("Self", bound="HiddenMarkovModel")


class HiddenMarkovModel(TorchDistribution):
    """Base of distributions over series, whose event shape is ``(time, *observation)``.

    If no parameter varies over time and no duration is given, the time of the event shape is 1: the
    distribution then scores series of any length, and cannot draw one.

    Args:
        duration: Number of time steps, ``None`` for that of the parameters.
        batch_shape: Shape of the parameters without time.
        event_shape: Shape of one series, as far as the parameters tell.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If the parameters have another duration.
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self,
        duration: int | None,
        batch_shape: Any = torch.Size(),
        event_shape: Any = torch.Size(),
        validate_args: bool | None = None,
    ) -> None:
        time, *observation = event_shape
        if duration is not None and time not in (1, duration):
            raise ShapeError(
                f"{type(self).__name__}: the parameters have {time} time steps, but duration is "
                f"{duration}; leave duration out, or make it the same"
            )
        self._duration = time if duration is None and time != 1 else duration
        event_shape = torch.Size((self._duration or 1, *observation))
        super().__init__(torch.Size(batch_shape), event_shape, validate_args=validate_args)

    @property
    def duration(self) -> int | None:
        """Number of time steps, ``None`` if any will do."""
        return self._duration

    def _known_duration(self) -> int:
        if self._duration is None:
            raise ShapeError(
                f"{type(self).__name__}: no parameter varies over time, so a series to draw has no "
                "length; pass duration="
            )
        return self._duration

    def _replace(self: Self, _instance: Any = None, **attributes: Any) -> Self:
        """Return a copy with other attributes."""
        new: Self = type(self).__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__, **attributes)
        return new

    def _validate_sample(self, value: Tensor) -> None:
        if self._duration is not None or value.dim() < self.event_dim:
            super()._validate_sample(value)
        else:  # a series of any length
            length = value.shape[value.dim() - self.event_dim :][:1]
            self._replace(
                _duration=length[0], _event_shape=length + self.event_shape[1:]
            )._validate_sample(value)
