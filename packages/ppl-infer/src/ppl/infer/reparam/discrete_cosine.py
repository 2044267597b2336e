"""Series as their frequencies."""

from __future__ import annotations

from ppl.distributions.transforms import DiscreteCosineTransform

from .unit_jacobian import UnitJacobianReparam


class DiscreteCosineReparam(UnitJacobianReparam):
    """Writes a site as its cosine transform ``x_dct``, of type II.

    Useful for series whose prior couples neighbours in time: among frequencies the posterior is
    nearer to diagonal, which makes mean-field guides better and diagonal mass matrices effective.

    Args:
        dim: The dimension of time, negative: counted from the right.
        smooth: See ``DiscreteCosineTransform``: 0 for white noise, 1 for Brownian motion.
        experimental_allow_batch: Whether ``dim`` may be a batch dimension.
    Raises:
        ValueError: If ``dim`` is not negative.
        ShapeError: For a site where ``dim`` is a batch dimension, if that is not allowed.
    """

    def __init__(
        self,
        dim: int = -1,
        smooth: float = 0.0,
        *,
        experimental_allow_batch: bool = False,
    ) -> None:
        super().__init__(
            DiscreteCosineTransform(dim=dim, smooth=smooth),
            suffix="dct",
            experimental_allow_batch=experimental_allow_batch,
        )
