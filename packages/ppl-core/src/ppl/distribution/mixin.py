"""The interface for distributions over tensors: shapes, expansion, events and masks."""

from __future__ import annotations

import warnings
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.arguments import integer
from ppl.errors import ShapeError

from .empty import validate_sample
from .flags import keeps_flags
from .interface import Distribution
from .shapes import as_shape, extended_shape, shape_of_samples
from .util import broadcast_shape
from .values import take_values_of_every_kind

# methods of torch in whose place ours say more, or do what torch's do not
_REPLACED = {"_validate_sample": validate_sample, "_extended_shape": extended_shape}

if TYPE_CHECKING:
    from .masked import MaskedDistribution


class TorchDistributionMixin(Distribution):
    """Makes a distribution of torch one of ours, as the second base after torch's class.

    Example:
        >>> class Normal(torch.distributions.Normal, TorchDistributionMixin):
        ...     pass
        >>> d = Normal(torch.zeros(2, 3), 1.0).to_event(1)
        >>> d.batch_shape, d.event_shape, tuple(d().shape)
        (torch.Size([2]), torch.Size([3]), (2, 3))
    """

    if TYPE_CHECKING:  # provided by torch's class
        arg_constraints: Any
        support: Any

        @property
        def batch_shape(self) -> torch.Size: ...

        @property
        def event_shape(self) -> torch.Size: ...

        @property
        def mean(self) -> Tensor: ...

        @property
        def variance(self) -> Tensor: ...

        def rsample(self, sample_shape: Any = torch.Size()) -> Tensor: ...

        def entropy(self) -> Tensor: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        expand = cls.expand  # perhaps one of torch
        if _place(cls, "__init__") < _place(cls, "expand"):
            expand = _expand_or_wrap(expand)
        cls.expand = keeps_flags(expand)  # type: ignore[method-assign]
        for name, ours in _REPLACED.items():
            if getattr(cls, name, None) is getattr(torch.distributions.Distribution, name):
                setattr(cls, name, ours)
        take_values_of_every_kind(cls)

    def __call__(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a random value, reparameterized when possible, shaped ``shape(sample_shape)``."""
        return self.rsample(sample_shape) if self.has_rsample else self.sample(sample_shape)

    @property
    def event_dim(self) -> int:
        """Number of rightmost dimensions that make up one event."""
        return len(self.event_shape)

    @property
    def is_discrete(self) -> bool:
        """Whether values are isolated points, so that there is no gradient with respect to them."""
        return bool(self.support.is_discrete)

    def shape(self, sample_shape: Any = torch.Size()) -> torch.Size:
        """Return the shape of a sample, ``(*sample_shape, *batch_shape, *event_shape)``."""
        return shape_of_samples(self, sample_shape) + self.batch_shape + self.event_shape

    @classmethod
    def infer_shapes(cls, **arg_shapes: tuple[int, ...]) -> tuple[torch.Size, torch.Size]:
        """Return ``(batch_shape, event_shape)`` for arguments of the given shapes.

        Raises:
            NotImplementedError: If the shapes depend on more than those of the arguments.

        Example:
            >>> class Normal(torch.distributions.Normal, TorchDistributionMixin):
            ...     pass
            >>> Normal.infer_shapes(loc=(3, 1), scale=(4,))
            (torch.Size([3, 4]), torch.Size([]))
        """
        if isinstance(cls.arg_constraints, property):
            raise NotImplementedError(f"{cls.__name__} computes its constraints from values")
        event_dim = cls.support.event_dim
        batch_shapes: list[tuple[int, ...]] = []
        event_shapes: list[tuple[int, ...]] = []
        for name, shape in arg_shapes.items():
            constraint = cls.arg_constraints.get(name, constraints.real)
            cut = len(shape) - constraint.event_dim
            batch_shapes.append(tuple(shape[:cut]))
            if 0 < event_dim <= constraint.event_dim:
                event_shapes.append(tuple(shape[-event_dim:]))
        return torch.Size(broadcast_shape(*batch_shapes)), torch.Size(
            broadcast_shape(*event_shapes)
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """Return this distribution with its batch dimensions expanded to ``batch_shape``.

        Draws along new and stretched dimensions are independent. This version works for every
        distribution; classes of torch come with their own.
        """
        from .expanded import ExpandedDistribution  # which derives from this class

        return ExpandedDistribution(self, batch_shape)

    def expand_by(self, sample_shape: Any) -> Any:
        """Return this distribution with ``sample_shape`` added on the left of its batch shape."""
        what = f"{type(self).__name__}.expand_by"
        return self.expand(as_shape(what, sample_shape) + self.batch_shape)

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> TorchDistributionMixin:
        """Return this distribution with its rightmost batch dimensions made event dimensions.

        Args:
            reinterpreted_batch_ndims: How many; ``None`` means all, and a negative number gives
                dimensions back that an earlier ``to_event`` had taken.
        Raises:
            ShapeError: If there are not as many dimensions.

        Example:
            >>> from ppl.distribution import Delta
            >>> Delta(torch.zeros(2, 3)).to_event(1).event_shape
            torch.Size([3])
        """
        from .independent import Independent  # which derives from this class

        n = (
            len(self.batch_shape)
            if reinterpreted_batch_ndims is None
            else integer(f"{type(self).__name__}.to_event", reinterpreted_batch_ndims)
        )
        base: Any = self
        available = len(self.batch_shape)
        if isinstance(self, Independent):  # one wrapper, however often it is reshaped
            base, available = self.base_dist, len(self.base_dist.batch_shape)
            n += self.reinterpreted_batch_ndims
        if not 0 <= n <= available:
            raise ShapeError(
                f"{type(self).__name__}.to_event({reinterpreted_batch_ndims}): batch_shape is "
                f"{tuple(self.batch_shape)} and event_shape {tuple(self.event_shape)}; expand the "
                "distribution first, or ask for fewer dimensions"
            )
        return base if n == 0 else Independent(base, n)

    def independent(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        """Return :meth:`to_event`, its name since the first releases."""
        warnings.warn("independent() is called to_event() now", DeprecationWarning, stacklevel=2)
        return self.to_event(reinterpreted_batch_ndims)

    def reshape(self, sample_shape: Any = None, extra_event_dims: int | None = None) -> Any:
        """Return ``expand_by(sample_shape).to_event(extra_event_dims)``."""
        warnings.warn(
            "reshape() is written expand_by().to_event() now", DeprecationWarning, stacklevel=2
        )
        return self.expand_by(sample_shape or ()).to_event(extra_event_dims or 0)

    def mask(self, mask: Tensor | bool) -> MaskedDistribution:
        """Return this distribution with a log density of zero where ``mask`` is false.

        Args:
            mask: A boolean, or a boolean tensor that broadcasts with the batch shape.
        """
        from .masked import MaskedDistribution  # which derives from this class

        return MaskedDistribution(self, mask)


def _place(cls: type, name: str) -> int:
    """Return how many classes are between a class and the one that its attribute is from."""
    return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))


def _expand_or_wrap(expand: Any) -> Any:
    """Return a method for a class with its own ``__init__``, which an inherited one may refuse."""

    @wraps(expand, updated=())
    def either(self: Any, batch_shape: Any, _instance: Any = None) -> Any:
        try:
            return expand(self, batch_shape, _instance)
        except NotImplementedError:  # what torch says to an __init__ that it does not know
            return TorchDistributionMixin.expand(self, batch_shape)

    return either


class TorchDistribution(torch.distributions.Distribution, TorchDistributionMixin):
    """Base class of new distributions over tensors.

    A value has three groups of dimensions, ``(*sample_shape, *batch_shape, *event_shape)``:
    independent and identical draws, independent draws with their own parameters, and the
    dimensions of one event; ``log_prob`` returns shape ``(*sample_shape, *batch_shape)``.

    Derived classes implement ``sample`` (or ``rsample``, with ``has_rsample = True``) and
    ``log_prob``, pass their shapes to ``__init__``, and declare ``arg_constraints`` and
    ``support``. A finite one may set ``has_enumerate_support`` and implement
    ``enumerate_support``. ``expand`` works for all; a faster one may be provided.

    Args:
        batch_shape: Shape of the parameters without event dimensions.
        event_shape: Shape of one event.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    if TYPE_CHECKING:

        def expand(self, batch_shape: Any, _instance: Any = None) -> Any: ...
    else:
        expand = TorchDistributionMixin.expand  # torch's raises NotImplementedError
