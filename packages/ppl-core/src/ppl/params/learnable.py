"""What cannot be a parameter: gradients move neither integers nor what a constraint holds still."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import constraints, transform_to

from ..errors import DtypeError, UnsupportedConstraintError


def require_learnable(name: str, value: Tensor, constraint: constraints.Constraint) -> None:
    """Refuse an initial value, or a constraint, that leaves nothing for gradients to move.

    Args:
        name: The parameter.
        value: Its initial value.
        constraint: What the value has to fulfil.

    Raises:
        DtypeError: If the value is of integers or booleans.
        UnsupportedConstraintError: If no transform maps real numbers to the values that fulfil it.
    """
    if not (value.is_floating_point() or value.is_complex()):
        raise DtypeError(
            f"parameter {name!r}: gradients cannot move a value of {value.dtype}; write it with "
            "decimal points, or .float(); a constant needs no param statement",
            site=name,
        )
    if constraint is constraints.real:
        return
    try:
        transform_to(constraint)
    except NotImplementedError as error:
        raise UnsupportedConstraintError(
            f"parameter {name!r}: no transform maps real numbers to {constraint}, so it cannot be "
            "learned; sum over a discrete value as a sample site, or write the matrix as a "
            "function of free parameters; register your own with transform_to.register",
            site=name,
        ) from error
