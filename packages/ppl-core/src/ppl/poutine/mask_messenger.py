"""``mask``: leave parts of the log density out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import ShapeError, SiteTypeError
from .messenger import Messenger


class MaskTypeError(ShapeError, SiteTypeError):
    """A mask is no bool and no boolean tensor."""


class MaskMessenger(Messenger):
    """Masks the log density of sites elementwise.

    Args:
        mask: A bool, or a boolean tensor that broadcasts to the batch shape of the sites.
    """

    def __init__(self, mask: bool | torch.Tensor) -> None:
        if isinstance(mask, (np.ndarray, np.bool_)):
            mask = torch.as_tensor(mask)
        if isinstance(mask, torch.Tensor):
            if mask.dtype is not torch.bool:
                raise ShapeError(
                    f"a mask must have dtype torch.bool, got {mask.dtype}; use mask.bool()"
                )
        elif not isinstance(mask, bool):
            raise MaskTypeError(f"a mask must be a bool or a boolean tensor, got {mask!r}")
        self.mask = mask

    def _process_message(self, msg: dict[str, Any]) -> None:
        msg["mask"] = self.mask if msg["mask"] is None else self.mask & msg["mask"]
