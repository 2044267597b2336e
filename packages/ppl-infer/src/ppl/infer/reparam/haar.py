"""Series as their wavelets."""

from __future__ import annotations

from ppl.distributions.transforms import HaarTransform

from .unit_jacobian import UnitJacobianReparam


class HaarReparam(UnitJacobianReparam):
    """Writes a site as its Haar wavelet transform ``x_haar``.

    Useful for series whose prior couples neighbours in time, as :class:`DiscreteCosineReparam` is;
    wavelets are local in time.

    Args:
        dim: The dimension of time, negative: counted from the right.
        flip: Whether to reverse time first.
        experimental_allow_batch: Whether ``dim`` may be a batch dimension.
    Raises:
        ValueError: If ``dim`` is not negative.
        ShapeError: For a site where ``dim`` is a batch dimension, if that is not allowed.
    """

    def __init__(
        self, dim: int = -1, flip: bool = False, *, experimental_allow_batch: bool = False
    ) -> None:
        super().__init__(
            HaarTransform(dim=dim, flip=flip),
            suffix="haar",
            experimental_allow_batch=experimental_allow_batch,
        )
