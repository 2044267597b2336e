"""Random variables: arithmetic on them gives the variables of transformed distributions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from .torch import TransformedDistribution
from .transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftmaxTransform,
    TanhTransform,
)


class RandomVariable:
    """A variable with a distribution; sums, products and functions of it have theirs.

    The other operand of an operation is a number or a tensor, not a random variable.

    Args:
        distribution: Continuous.

    Example:
        >>> from ppl.distributions import LogNormal, Normal
        >>> x = (2.0 * Normal(0.0, 1.0).rv + 1.0).exp()
        >>> one = torch.ones(())
        >>> bool(torch.isclose(x.dist.log_prob(one), LogNormal(1.0, 2.0).log_prob(one)))
        True
    """

    def __init__(self, distribution: Any) -> None:
        self.distribution = distribution

    @property
    def dist(self) -> Any:
        """The distribution."""
        return self.distribution

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return a draw."""
        draw: Tensor = self.distribution(*args, **kwargs)
        return draw

    def __repr__(self) -> str:
        return f"RandomVariable({self.distribution!r})"

    def transform(self, t: Transform) -> RandomVariable:
        """Return the variable ``t(x)``."""
        return RandomVariable(TransformedDistribution(self.distribution, [t]))

    def _affine(self, loc: Tensor | float, scale: Tensor | float) -> RandomVariable:
        return self.transform(AffineTransform(loc, scale))

    def add(self, x: Tensor | float) -> RandomVariable:
        """Return the variable plus ``x``."""
        return self._affine(x, 1.0)

    def sub(self, x: Tensor | float) -> RandomVariable:
        """Return the variable minus ``x``."""
        return self._affine(-x, 1.0)

    def mul(self, x: Tensor | float) -> RandomVariable:
        """Return the variable times ``x``, which must not be zero."""
        return self._affine(0.0, x)

    def truediv(self, x: Tensor | float) -> RandomVariable:
        """Return the variable divided by ``x``."""
        return self._affine(0.0, 1.0 / x)

    def neg(self) -> RandomVariable:
        """Return minus the variable."""
        return self._affine(0.0, -1.0)

    def abs(self) -> RandomVariable:
        """Return the absolute value; it can be drawn, not scored, since it has no inverse."""
        return self.transform(AbsTransform())

    def pow(self, x: Tensor | float) -> RandomVariable:
        """Return a positive variable to the power ``x``."""
        return self.transform(PowerTransform(torch.as_tensor(x)))

    def exp(self) -> RandomVariable:
        """Return the exponential."""
        return self.transform(ExpTransform())

    def log(self) -> RandomVariable:
        """Return the logarithm of a positive variable."""
        return self.transform(ExpTransform().inv)

    def sigmoid(self) -> RandomVariable:
        """Return the logistic function."""
        return self.transform(SigmoidTransform())

    def tanh(self) -> RandomVariable:
        """Return the hyperbolic tangent."""
        return self.transform(TanhTransform())

    def softmax(self) -> RandomVariable:
        """Return the softmax; it can be drawn, not scored, since it has no inverse."""
        return self.transform(SoftmaxTransform())

    def _minus_from(self, x: Tensor | float) -> RandomVariable:
        return self._affine(x, -1.0)

    __add__ = add
    __radd__ = add
    __sub__ = sub
    __rsub__ = _minus_from
    __mul__ = mul
    __rmul__ = mul
    __truediv__ = truediv
    __neg__ = neg
    __abs__ = abs
    __pow__ = pow
