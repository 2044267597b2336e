"""Gaussian factors with a shared random scale of all precisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ppl.distribution.util import broadcast_shape

from .batched import Batched
from .cholesky import precision_to_scale_tril
from .gaussian import matrix_and_gaussian_to_gaussian, mvn_to_gaussian
from .quadratic import Integral, Quadratic, integrate_ends, integrate_product
from .scan import along_time, associative_reduce

if TYPE_CHECKING:
    from ppl.distributions import MultivariateNormal
    from ppl.distributions.multivariate_student_t import MultivariateStudentT


@dataclass(frozen=True, eq=False)
class Gamma:
    """A function of ``s > 0``, ``exp(log_normalizer) * s ** (concentration - 1) * exp(-rate * s)``.

    Args:
        log_normalizer: Shape ``batch``, in nats.
        concentration: Shape ``batch``.
        rate: Shape ``batch``.
    """

    log_normalizer: Tensor
    concentration: Tensor
    rate: Tensor

    def log_density(self, s: Tensor) -> Tensor:
        """Return the logarithm (nats) at ``s``."""
        return self.log_normalizer + (self.concentration - 1) * s.log() - self.rate * s

    def logsumexp(self) -> Tensor:
        """Return the log of the integral over ``s``."""
        log_volume = self.concentration.lgamma() - self.concentration * self.rate.log()
        return self.log_normalizer + log_volume


@dataclass(frozen=True, eq=False)
class GammaGaussian(Batched):
    """A function of a scale ``s > 0`` and variables x that is Gaussian in x.

    Its logarithm is ``log_normalizer + alpha * log(s) - s * (beta - info_vec @ x + x @ precision @
    x / 2)``: given s, the precision of x is ``s * precision`` (Giron and Rojano 1994).

    Args:
        log_normalizer: Shape ``batch``, in nats.
        info_vec: Shape ``(*batch, n)``.
        precision: Shape ``(*batch, n, n)``.
        alpha: Shape ``batch``.
        beta: Shape ``batch``.
    """

    log_normalizer: Tensor
    info_vec: Tensor
    precision: Tensor
    alpha: Tensor
    beta: Tensor
    event_dims: ClassVar[tuple[int, ...]] = (0, 1, 2, 0, 0)

    def dim(self) -> int:
        """Return the number of variables, the scale not counted."""
        return self.info_vec.shape[-1]

    @property
    def form(self) -> Quadratic:
        """The part of the logarithm that is quadratic in x, for ``s = 1``."""
        return Quadratic(self.info_vec, self.precision)

    def event_pad(self, left: int = 0, right: int = 0) -> GammaGaussian:
        """Return the same function of more variables, constant in the new ones."""
        return self._with_form(self.form.padded(left, right))

    def event_permute(self, perm: Tensor) -> GammaGaussian:
        """Return the same function with its variables in the order of the indices ``perm``."""
        return self._with_form(self.form.permuted(perm))

    def __add__(self, other: GammaGaussian | Tensor | float) -> GammaGaussian:
        """Return the product of two factors, or of a factor and the exponential of a number."""
        if not isinstance(other, GammaGaussian):
            return replace(self, log_normalizer=self.log_normalizer + other)
        return GammaGaussian(*(x + y for x, y in zip(self.tensors, other.tensors, strict=True)))

    def __sub__(self, other: Tensor | float) -> GammaGaussian:
        """Return the quotient of a factor and the exponential of a number."""
        return self + -other

    def log_density(self, value: Tensor, s: Tensor) -> Tensor:
        """Return the logarithm (nats) at ``value``, shape ``(*batch, n)``, and the scale ``s``."""
        energy = self.beta - self.form.at(value)
        return self.log_normalizer + self.alpha * s.log() - s * energy

    def condition(self, value: Tensor) -> GammaGaussian:
        """Return the function of the scale and the left variables that fixing the others leaves.

        Args:
            value: Of the rightmost variables, shape ``(*batch, k)``.
        """
        at_value, rest = self.form.condition(value)
        return replace(self._with_form(rest), beta=self.beta - at_value)

    def marginalize(self, left: int = 0, right: int = 0) -> GammaGaussian:
        """Return the integral over the ``left`` leftmost and ``right`` rightmost variables."""
        if left == right == 0:
            return self
        return self._plus(integrate_ends(self.form, left, right), left + right)

    def compound(self) -> MultivariateStudentT:
        """Return the distribution of the variables, the scale integrated out."""
        from ppl.distributions.multivariate_student_t import MultivariateStudentT

        gamma, (mean, _) = self.event_logsumexp(), self.form.mean_and_scale()
        spread = (gamma.rate / gamma.concentration).sqrt()[..., None, None]
        scale_tril = spread * precision_to_scale_tril(self.precision)
        return MultivariateStudentT(2 * gamma.concentration, mean, scale_tril)

    def event_logsumexp(self) -> Gamma:
        """Return the integral over all variables, a function of the scale."""
        total = self.marginalize(right=self.dim())
        return Gamma(total.log_normalizer, total.alpha + 1, total.beta)

    def _with_form(self, form: Quadratic) -> GammaGaussian:
        return replace(self, info_vec=form.info_vec, precision=form.precision)

    def _plus(self, integral: Integral, dims: int) -> GammaGaussian:
        """Return this factor after the integration over ``dims`` variables of its form."""
        rest, half_square, log_volume = integral
        return GammaGaussian(
            self.log_normalizer + log_volume, *rest, self.alpha - dims / 2, self.beta - half_square
        )


def gamma_and_mvn_to_gamma_gaussian(gamma: Any, mvn: Any) -> GammaGaussian:
    """Return the joint density of a scale and of a multivariate normal whose precision it scales.

    Args:
        gamma: A ``Gamma`` distribution.
        mvn: A ``MultivariateNormal``, or a ``Normal`` with ``to_event(1)``, at scale one.
    """
    given_scale = matrix_and_mvn_to_gamma_gaussian(mvn.mean.new_zeros(0, mvn.event_shape[0]), mvn)
    c, rate = gamma.concentration, gamma.rate
    return replace(
        given_scale,
        log_normalizer=given_scale.log_normalizer + c * rate.log() - c.lgamma(),
        alpha=given_scale.alpha + c - 1,
        beta=given_scale.beta + rate,
    )


def scale_mvn(mvn: Any, s: Tensor) -> MultivariateNormal:
    """Return a multivariate normal with its precision multiplied by ``s``, of shape ``batch``."""
    from ppl.distributions import MultivariateNormal  # which imports this package

    batch_shape = broadcast_shape(mvn.batch_shape, s.shape)
    scale_tril = mvn.scale_tril / s.sqrt()[..., None, None]
    return MultivariateNormal(mvn.loc.expand(batch_shape + mvn.event_shape), scale_tril=scale_tril)


def matrix_and_mvn_to_gamma_gaussian(matrix: Tensor, mvn: Any) -> GammaGaussian:
    """Return the density of y given x and the scale, where ``y = x @ matrix + noise / sqrt(s)``.

    Args:
        matrix: Shape ``(*batch, n, m)``.
        mvn: The noise at scale one, a ``MultivariateNormal``, or a ``Normal`` with ``to_event(1)``.
    """
    form = mvn_to_gaussian(mvn)
    half_square = (form.info_vec * mvn.mean).sum(-1) / 2
    joint = matrix_and_gaussian_to_gaussian(matrix, form)
    alpha = torch.full_like(half_square, mvn.event_shape[0] / 2)
    return GammaGaussian(form.log_normalizer + half_square, *joint.form, alpha, half_square)


def gamma_gaussian_tensordot(x: GammaGaussian, y: GammaGaussian, dims: int = 0) -> GammaGaussian:
    """Return the product of two factors, integrated over the variables that they share.

    Args:
        x: A factor over the scale and ``(a, b)``.
        y: A factor over the same scale and ``(b, c)``.
        dims: The number of variables in ``b``.

    Returns:
        A factor over the scale and ``(a, c)``.
    """
    if dims == 0:
        return x.event_pad(right=y.dim()) + y.event_pad(left=x.dim())
    product = GammaGaussian(
        x.log_normalizer + y.log_normalizer, *x.form, x.alpha + y.alpha, x.beta + y.beta
    )
    return product._plus(integrate_product(x.form, y.form, dims), dims)


def sequential_gamma_gaussian_tensordot(gamma_gaussian: GammaGaussian) -> GammaGaussian:
    """Return the product over time of transition factors, integrated over all states but two.

    Args:
        gamma_gaussian: Factors over the scale and the states before and after each step, whose
            rightmost batch dimension is time.

    Returns:
        A factor over the scale, the first and the last state, without the dimension of time.
    """
    return GammaGaussian(*associative_reduce(_then, along_time(gamma_gaussian)))[..., 0]


def _then(x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    first, second = GammaGaussian(*x), GammaGaussian(*y)
    return gamma_gaussian_tensordot(first, second, first.dim() // 2).tensors
