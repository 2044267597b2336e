"""Rotations and other transforms of a site that keep volumes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.distribution.util import sum_rightmost
from ppl.distributions import TransformedDistribution
from ppl.errors import ShapeError
from ppl.poutine.indep_messenger import IndepMessenger
from ppl.poutine.messenger import block_messengers

from .layers import Layers
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class UnitJacobianReparam(Reparam):
    """Writes a site as the inverse image of its transform, ``x_transformed``.

    An observed site stays observed; its density is the same.

    Args:
        transform: A bijection; one whose Jacobian determinant is not 1 will do as well.
        suffix: Of the name of the auxiliary site.
        experimental_allow_batch: Whether the transform may act along batch dimensions. The
            auxiliary site is then outside of their plates.
    Raises:
        ShapeError: If the transform acts along a batch dimension, and that is not allowed.

    Example:
        >>> import ppl.distributions as dist
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        >>> turn = UnitJacobianReparam(dist.transforms.Permute(torch.tensor([2, 0, 1])))
        >>> trace = poutine.trace(poutine.reparam(model, config={"x": turn})).get_trace()
        >>> trace.stochastic_nodes
        ['x_transformed']
    """

    def __init__(
        self,
        transform: Any,
        suffix: str = "transformed",
        *,
        experimental_allow_batch: bool = False,
    ) -> None:
        self.transform: Transform = transform.with_cache()
        self.suffix = suffix
        self.experimental_allow_batch = experimental_allow_batch

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        fn, value = msg["fn"], msg["value"]
        transform = self.transform.with_cache()  # of this execution alone
        extra = max(0, transform.domain.event_dim - fn.event_dim)
        if extra:
            fn = self._with_larger_events(msg, extra)
            value = None if value is None else value.reshape(fn.shape())
        transformed = TransformedDistribution(fn, [transform], validate_args=False)
        y = None if value is None else transform(value)
        with _outside_plates(extra):
            y = auxiliary(f"{msg['name']}_{self.suffix}", transformed, y, msg["is_observed"])
        layers = Layers(msg["fn"], ())
        if not msg["is_observed"]:
            x = transform.inv(y)
            return layers.computed(x.reshape(msg["fn"].shape()) if extra else x)
        log_det = transform.log_abs_det_jacobian(value, y)
        log_det = sum_rightmost(log_det, fn.event_dim - transform.domain.event_dim)
        return layers.computed(msg["value"], self._spread(log_det, extra, msg["fn"].batch_shape))

    def _with_larger_events(self, msg: ReparamMessage, extra: int) -> Any:
        fn: Any = msg["fn"]
        if not self.experimental_allow_batch:
            raise ShapeError(
                f"site {msg['name']!r}: {type(self).__name__} acts along batch dimensions of "
                f"batch_shape {tuple(fn.batch_shape)} and event_shape {tuple(fn.event_shape)}; "
                f"make them event dimensions with .to_event({extra}), or pass "
                "experimental_allow_batch=True",
                site=msg["name"],
            )
        if len(fn.batch_shape) != extra:
            raise ShapeError(
                f"site {msg['name']!r}: experimental_allow_batch transforms all {extra} batch "
                f"dimensions, but batch_shape is {tuple(fn.batch_shape)}; use .to_event({extra}) "
                "and no plate for them",
                site=msg["name"],
            )
        return fn.to_event(extra).expand((1,) * extra)

    @staticmethod
    def _spread(log_det: Tensor, extra: int, batch_shape: torch.Size) -> Tensor:
        """Return a log determinant in equal parts over the batch dimensions it was summed over."""
        return (log_det / batch_shape.numel()).expand(batch_shape) if extra else log_det


@contextmanager
def _outside_plates(number: int) -> Iterator[None]:
    """Take the plates of the ``number`` rightmost batch dimensions off for a block."""

    def is_meant(handler: Any) -> bool:
        return isinstance(handler, IndepMessenger) and -(handler.dim or -number - 1) <= number

    with block_messengers(is_meant):
        yield
