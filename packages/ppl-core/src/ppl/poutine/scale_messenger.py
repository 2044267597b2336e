"""``scale``: multiply the log density."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch

from ..arguments import wrong_type
from ..errors import SupportError
from ..validation import is_validation_enabled
from .messenger import Messenger


class ScaleMessenger(Messenger):
    """Multiplies the log density of sites by a positive number.

    Args:
        scale: A positive number, or a tensor that broadcasts to the batch shape of the sites.
    """

    def __init__(self, scale: float | torch.Tensor) -> None:
        if not isinstance(scale, (Real, torch.Tensor)):
            raise wrong_type("a scale", "a positive number or tensor", scale)
        if is_validation_enabled() and not bool(torch.as_tensor(scale > 0).all()):
            raise SupportError(
                f"a scale must be positive, got {scale}; to leave sites out use poutine.mask"
            )
        self.scale = scale

    def _process_message(self, msg: dict[str, Any]) -> None:
        msg["scale"] = self.scale * msg["scale"]
