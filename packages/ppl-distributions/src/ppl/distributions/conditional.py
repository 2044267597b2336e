"""Distributions and transforms that depend on a context, given later by ``condition``.

A conditional normalizing flow is a :class:`ConditionalTransformedDistribution` whose transforms
have parameters computed by networks from the context.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.transforms import ComposeTransform, Transform

from .transformed import TransformedDistribution


class ConditionalDistribution(ABC):
    """A distribution up to a context: implement :meth:`condition`."""

    @abstractmethod
    def condition(self, context: Any) -> Any:
        """Return the distribution given a context, usually a tensor."""


class ConditionalTransform(ABC):
    """A transform up to a context: implement :meth:`condition`."""

    @abstractmethod
    def condition(self, context: Any) -> Transform:
        """Return the transform given a context, usually a tensor."""


class ConstantConditionalDistribution(ConditionalDistribution):
    """A distribution that depends on no context.

    Args:
        base_dist: The distribution.
    """

    def __init__(self, base_dist: Any) -> None:
        self.base_dist = base_dist

    def condition(self, context: Any) -> Any:
        """Return the distribution, whatever the context."""
        return self.base_dist


class ConstantConditionalTransform(ConditionalTransform):
    """A transform that depends on no context.

    Args:
        transform: The transform.
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def condition(self, context: Any) -> Transform:
        """Return the transform, whatever the context."""
        return self.transform

    def clear_cache(self) -> None:
        """Forget the most recent value of the transform."""
        clear_cache: Any = getattr(self.transform, "clear_cache", None)
        if clear_cache is not None:
            clear_cache()


class ConditionalTransformedDistribution(ConditionalDistribution):
    """The image of a distribution under transforms, any of which may depend on the context.

    Args:
        base_dist: A distribution or a :class:`ConditionalDistribution`.
        transforms: Transforms and conditional transforms, applied in order.

    Example:
        >>> from torch.distributions.transforms import AffineTransform, ExpTransform
        >>> from ppl.distributions import Normal
        >>> class Shift(ConditionalTransform):
        ...     def condition(self, context):
        ...         return AffineTransform(context, 1.0)
        >>> d = ConditionalTransformedDistribution(Normal(0.0, 1.0), [Shift(), ExpTransform()])
        >>> d.condition(torch.tensor(2.0)).icdf(torch.tensor(0.5)).log()
        tensor(2.)
    """

    def __init__(self, base_dist: Any, transforms: Sequence[Any] | Any) -> None:
        if isinstance(transforms, Transform | ConditionalTransform):
            transforms = [transforms]
        conditional = isinstance(base_dist, ConditionalDistribution)
        self.base_dist: ConditionalDistribution | ConstantConditionalDistribution = (
            base_dist if conditional else ConstantConditionalDistribution(base_dist)
        )
        self.transforms: list[ConditionalTransform | ConstantConditionalTransform] = [
            t if isinstance(t, ConditionalTransform) else ConstantConditionalTransform(t)
            for t in transforms
        ]

    def condition(self, context: Any) -> TransformedDistribution:
        """Return the distribution given a context, which is passed to every part."""
        base_dist = self.base_dist.condition(context)
        transforms = [transform.condition(context) for transform in self.transforms]
        return TransformedDistribution(base_dist, transforms)

    def clear_cache(self) -> None:
        """Forget the most recent values of the transforms that do not depend on the context."""
        for transform in self.transforms:
            if isinstance(transform, ConstantConditionalTransform):
                transform.clear_cache()


class ConditionalTransformModule(ConditionalTransform, torch.nn.Module):
    """A conditional transform with learnable parameters: also a torch module.

    Args:
        args: Arguments of :class:`torch.nn.Module`, which takes none.
        kwargs: The same by name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @property
    def inv(self) -> ConditionalTransformModule:
        """The conditional transform whose transforms are the inverses of those of this one."""
        return _ConditionalInverse(self)


class _ConditionalInverse(ConditionalTransformModule):
    """The inverse of a conditional transform."""

    def __init__(self, transform: ConditionalTransformModule) -> None:
        super().__init__()
        self.transform = transform

    @property
    def inv(self) -> ConditionalTransformModule:
        return self.transform

    def condition(self, context: Any) -> Transform:
        inverse: Transform = self.transform.condition(context).inv
        return inverse


class ComposeTransformModule(ComposeTransform, torch.nn.ModuleList):
    """Transforms applied in order, as a torch module that owns the parameters of all of them.

    Args:
        parts: The transforms, each a torch module.
        cache_size: 1 to keep the most recent value.
    """

    def __init__(self, parts: Sequence[Any], cache_size: int = 0) -> None:
        ComposeTransform.__init__(self, list(parts), cache_size=cache_size)
        torch.nn.ModuleList.__init__(self, parts)  # last, for the other one leaves it empty

    __hash__ = torch.nn.Module.__hash__  # ComposeTransform defines equality

    def with_cache(self, cache_size: int = 1) -> ComposeTransformModule:
        """Return this with another size of the cache, of the same parts."""
        if cache_size == self._cache_size:
            return self
        return ComposeTransformModule(self.parts, cache_size=cache_size)
