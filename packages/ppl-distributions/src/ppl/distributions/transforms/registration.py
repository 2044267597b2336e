"""How ``biject_to`` and ``transform_to`` reach constraints beyond torch's.

Importing this module registers them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import biject_to, transform_to
from torch.distributions import constraints as torch_constraints
from torch.distributions.transforms import (
    ComposeTransform,
    ExpTransform,
    SoftplusTransform,
    Transform,
    _InverseTransform,
)

from .. import constraints
from .choice import ChoiceTransform
from .correlations import CorrCholeskyTransform, CorrMatrixCholeskyTransform
from .matrices import (
    CholeskyTransform,
    SoftplusLowerCholeskyTransform,
    UnitLowerCholeskyTransform,
)
from .sphere import SphereTransform
from .triangles import LowerCholeskyBijection, UnitLowerCholeskyBijection
from .vectors import Normalize, OrderedTransform
from .zero_sum import ZeroSumTransform


class _Inverse(_InverseTransform):
    """The inverse of a transform, with copies and pickles that know what it is the inverse of."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self).copy()


def _to_components(registry: Any) -> Callable[[Any], Transform]:
    """Return a factory for mixtures, whose support is that of the components if these share it."""

    def factory(constraint: Any) -> Transform:
        base = constraint.base_constraint
        if any(isinstance(bound, Tensor) for bound in vars(base).values()):
            raise NotImplementedError(f"components differ in their support: {base}")
        transform: Transform = registry(base)
        return transform

    return factory


def _register() -> None:
    """Tell torch's registries, which are made to be extended, how to reach more constraints."""
    bijections = {
        constraints.circular: lambda c: biject_to(constraints.interval(-math.pi, math.pi)),
        constraints.corr_cholesky: lambda c: CorrCholeskyTransform(),
        torch_constraints.corr_cholesky: lambda c: CorrCholeskyTransform(),
        constraints.corr_matrix: lambda c: ComposeTransform(
            [CorrCholeskyTransform(), _Inverse(CorrMatrixCholeskyTransform())]
        ),
        constraints.ordered_vector: lambda c: OrderedTransform(),
        constraints.positive_ordered_vector: lambda c: ComposeTransform(
            [OrderedTransform(), ExpTransform()]
        ),
        constraints.softplus_positive: lambda c: SoftplusTransform(),
        constraints.zero_sum: lambda c: ZeroSumTransform(),
    }
    for constraint, factory in bijections.items():
        biject_to.register(constraint, factory)
        transform_to.register(constraint, factory)
    # these have an overparameterized transform_to beside the bijection, or no bijection at all
    biject_to.register(constraints.lower_cholesky, lambda c: LowerCholeskyBijection())
    biject_to.register(
        constraints.positive_definite,
        lambda c: ComposeTransform([LowerCholeskyBijection(), _Inverse(CholeskyTransform())]),
    )
    biject_to.register(
        constraints.softplus_lower_cholesky,
        lambda c: LowerCholeskyBijection(SoftplusTransform()),
    )
    biject_to.register(constraints.unit_lower_cholesky, lambda c: UnitLowerCholeskyBijection())
    transform_to.register(
        constraints.softplus_lower_cholesky, lambda c: SoftplusLowerCholeskyTransform()
    )
    for mixed in (constraints.MixtureSameFamilyConstraint, constraints.any_component):
        biject_to.register(mixed, _to_components(biject_to))
        transform_to.register(mixed, _to_components(transform_to))
    biject_to.register(constraints.choice, lambda c: ChoiceTransform(c, biject_to))
    biject_to.register(constraints.sphere, lambda c: SphereTransform())
    transform_to.register(constraints.choice, lambda c: ChoiceTransform(c, transform_to))
    transform_to.register(constraints.sphere, lambda c: Normalize())
    transform_to.register(constraints.unit_lower_cholesky, lambda c: UnitLowerCholeskyTransform())


_register()
