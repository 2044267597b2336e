"""What a sample site asks of its distribution."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

from torch import Tensor

from ppl.plugins import load_module

from .arguments import DistributionMeta
from .score_parts import ScoreParts

Self = TypeVar("Self", bound="Distribution")


class Distribution(metaclass=DistributionMeta):
    """A stochastic function with fixed parameters that can be sampled and scored.

    ``d()`` draws a value and ``d.log_prob(x)`` scores one. Derived classes implement
    :meth:`sample` and :meth:`log_prob`; almost all derive from
    :class:`~ppl.distribution.TorchDistribution` instead of this interface.
    """

    has_rsample: bool = False
    has_enumerate_support = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return a random value, as :meth:`sample` does."""
        return self.sample(*args, **kwargs)

    @abstractmethod
    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """Return a random value."""

    @abstractmethod
    def log_prob(self, x: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return the log density (nats) of each value of a batch, shape ``(*sample, *batch)``."""

    def score_parts(self, x: Any, *args: Any, **kwargs: Any) -> ScoreParts:
        """Return the parts of the log density that gradient estimators need.

        Right for distributions that are reparameterized fully or not at all; one in between
        (say, rejection sampling of a reparameterized proposal) overrides this method.
        """
        log_prob = self.log_prob(x, *args, **kwargs)
        if self.has_rsample:
            return ScoreParts(log_prob, score_function=0, entropy_term=log_prob)
        return ScoreParts(log_prob, score_function=log_prob, entropy_term=0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return every value of a discrete distribution along a new leftmost dimension.

        All variables of a batch are enumerated in lockstep, not as a cartesian product.

        Args:
            expand: If true the shape is ``(cardinality, *batch, *event)``, otherwise the batch
                dimensions have size 1.
        Raises:
            NotImplementedError: If the support is not finite.
        """
        raise NotImplementedError(f"{type(self).__name__} has no enumerable support")

    def conjugate_update(self: Self, other: Distribution) -> tuple[Self, Tensor]:
        """Return the normalized product with ``other`` and the log of its normalizer.

        ``fg, c = f.conjugate_update(g)`` satisfies
        ``f.log_prob(x) + g.log_prob(x) == fg.log_prob(x) + c``.

        Raises:
            NotImplementedError: If the two are not conjugate.
        """
        raise NotImplementedError(f"{type(self).__name__} has no conjugate update")

    @property
    def rv(self) -> Any:
        """The random variable with this distribution: arithmetic on it transforms the distribution.

        See :class:`ppl.distributions.random_variable.RandomVariable`.

        Raises:
            MissingDistributionError: If ppl-distributions is not installed.
        """
        module: Any = load_module("ppl.distributions.random_variable", "ppl-distributions")
        return module.RandomVariable(self)

    def has_rsample_(self: Self, value: bool) -> Self:
        """Return this distribution after forcing reparameterized or detached sampling on it.

        Raises:
            ValueError: If ``value`` is true but the distribution cannot be reparameterized.
        """
        if value and not self.has_rsample:
            raise ValueError(
                f"{type(self).__name__} has no reparameterized sampler; only has_rsample_(False) "
                "is possible"
            )
        self.has_rsample = value
        return self
