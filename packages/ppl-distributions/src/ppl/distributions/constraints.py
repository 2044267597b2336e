"""Supports of distributions and domains of parameters: those of torch, and some more.

Each constraint beyond torch's is registered with ``transform_to``, and with ``biject_to`` where a
bijection exists, so it serves parameters and unconstrained inference alike. A name that is not
defined here is looked up among the installed ``ppl.constraints`` plugins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints as torch_constraints
from torch.distributions.constraints import Constraint as Constraint
from torch.distributions.constraints import (
    MixtureSameFamilyConstraint as MixtureSameFamilyConstraint,
)
from torch.distributions.constraints import boolean as boolean
from torch.distributions.constraints import cat as cat
from torch.distributions.constraints import dependent as dependent
from torch.distributions.constraints import dependent_property as dependent_property
from torch.distributions.constraints import greater_than as greater_than
from torch.distributions.constraints import greater_than_eq as greater_than_eq
from torch.distributions.constraints import half_open_interval as half_open_interval
from torch.distributions.constraints import independent as independent
from torch.distributions.constraints import integer_interval as integer_interval
from torch.distributions.constraints import interval as interval
from torch.distributions.constraints import is_dependent as is_dependent
from torch.distributions.constraints import less_than as less_than
from torch.distributions.constraints import lower_cholesky as lower_cholesky
from torch.distributions.constraints import lower_triangular as lower_triangular
from torch.distributions.constraints import multinomial as multinomial
from torch.distributions.constraints import nonnegative as nonnegative
from torch.distributions.constraints import nonnegative_integer as nonnegative_integer
from torch.distributions.constraints import one_hot as one_hot
from torch.distributions.constraints import positive as positive
from torch.distributions.constraints import positive_definite as positive_definite
from torch.distributions.constraints import positive_integer as positive_integer
from torch.distributions.constraints import positive_semidefinite as positive_semidefinite
from torch.distributions.constraints import real as real
from torch.distributions.constraints import real_vector as real_vector
from torch.distributions.constraints import simplex as simplex
from torch.distributions.constraints import square as square
from torch.distributions.constraints import stack as stack
from torch.distributions.constraints import symmetric as symmetric
from torch.distributions.constraints import unit_interval as unit_interval

from ppl import plugins

_GROUP = "ppl.constraints"
_WRITTEN = 1e-4  # error of numbers that were written with four digits


class _Integer(Constraint):
    """Whole numbers of either sign."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return torch.remainder(value, 1) == 0


class _Circular(type(interval(0.0, 1.0))):  # type: ignore[misc]
    """Angles in radians, from -pi to pi."""

    def __init__(self) -> None:
        super().__init__(-math.pi, math.pi)


class _Sphere(Constraint):
    """Vectors of Euclidean norm one, as far as four written digits tell."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        tolerance = _WRITTEN * math.sqrt(value.shape[-1])
        return (value.square().sum(-1).sqrt() - 1).abs() < tolerance


class _CorrCholesky(type(torch_constraints.corr_cholesky)):  # type: ignore[misc]
    """Lower triangular matrices with a positive diagonal and rows of norm one, to four digits.

    torch takes rows to a few units of the last place, which refuses numbers from a file.
    """

    def check(self, value: Tensor) -> Tensor:
        is_unit = sphere.check(value).all(-1)
        lower: Tensor = lower_cholesky.check(value)
        return lower & is_unit


class _OrderedVector(Constraint):
    """Vectors whose entries increase strictly."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value[..., 1:] > value[..., :-1]).all(-1)


class _PositiveOrderedVector(_OrderedVector):
    """Vectors of positive entries that increase strictly."""

    def check(self, value: Tensor) -> Tensor:
        return super().check(value) & (value > 0).all(-1)


class _SoftplusPositive(type(positive)):  # type: ignore[misc]
    """Positive numbers, reached by softplus instead of exp: gentler for large values."""

    def __init__(self) -> None:
        super().__init__(lower_bound=0.0)


class _SoftplusLowerCholesky(type(lower_cholesky)):  # type: ignore[misc]
    """Lower triangular matrices with a positive diagonal, reached by softplus."""


class _UnitLowerCholesky(Constraint):
    """Lower triangular matrices with ones on the diagonal."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        lower = (value.tril() == value).all(-1).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) == 1).all(-1)


class _CorrMatrix(Constraint):
    """Correlation matrices: positive definite with a unit diagonal."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        tolerance = 10 * value.shape[-1] * torch.finfo(value.dtype).eps
        unit = ((value.diagonal(dim1=-2, dim2=-1) - 1).abs() < tolerance).all(-1)
        defined: Tensor = positive_definite.check(value)
        return unit & defined


class _AnyComponent(MixtureSameFamilyConstraint):
    """Values in the support of at least one component of a mixture."""

    def check(self, value: Tensor) -> Tensor:
        padded = value.unsqueeze(-1 - self.event_dim)
        inside: Tensor = self.base_constraint.check(padded)
        return inside.any(-1)


class _Choice(Constraint):
    """Values in one of two supports, element by element as a mask says."""

    def __init__(self, mask: Tensor, first: Constraint, second: Constraint) -> None:
        self.mask = mask
        self.first = first
        self.second = second

    @property
    def is_discrete(self) -> bool:
        return bool(self.first.is_discrete or self.second.is_discrete)

    @property
    def event_dim(self) -> int:
        return int(self.first.event_dim)

    def check(self, value: Tensor) -> Tensor:
        return torch.where(self.mask, self.second.check(value), self.first.check(value))


class _ZeroSum(Constraint):
    """Vectors whose entries sum to zero."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        tolerance = 10 * torch.finfo(value.dtype).eps * value.abs().sum(-1)
        return value.sum(-1).abs() <= tolerance


any_component = _AnyComponent
choice = _Choice
circular: _Circular = _Circular()
corr_cholesky: _CorrCholesky = _CorrCholesky()
corr_cholesky_constraint = corr_cholesky  # its name in earlier releases
corr_matrix: _CorrMatrix = _CorrMatrix()
integer: _Integer = _Integer()
ordered_vector: _OrderedVector = _OrderedVector()
positive_ordered_vector: _PositiveOrderedVector = _PositiveOrderedVector()
softplus_lower_cholesky: _SoftplusLowerCholesky = _SoftplusLowerCholesky()
softplus_positive: _SoftplusPositive = _SoftplusPositive()
sphere: _Sphere = _Sphere()
unit_lower_cholesky: _UnitLowerCholesky = _UnitLowerCholesky()
zero_sum: _ZeroSum = _ZeroSum()


def __getattr__(name: str) -> object:
    return plugins.attribute(__name__, _GROUP, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *plugins.names(_GROUP)})
