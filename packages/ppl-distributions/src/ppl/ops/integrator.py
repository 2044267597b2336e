"""The leapfrog integrator of Hamiltonian dynamics, over dictionaries of variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ppl.errors import warn

Variables = Mapping[str, Tensor]
Potential = Callable[[Variables], Tensor]

_HANDLERS: dict[str, Callable[[Exception], bool]] = {}


def velocity_verlet(
    z: Variables,
    r: Variables,
    potential_fn: Potential,
    kinetic_grad: Callable[[Variables], Variables],
    step_size: float,
    num_steps: int = 1,
    z_grads: Variables | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor], Variables, Tensor]:
    """Return positions and momenta after some leapfrog steps (Neal 2011, section 5.2.3).

    Args:
        z: Positions by name.
        r: Momenta, with the same names and shapes.
        potential_fn: The potential energy (nats) of positions.
        kinetic_grad: The velocities that belong to momenta.
        step_size: Negative to go back in time.
        num_steps: How many steps.
        z_grads: The gradient of the potential at ``z``, if it is known.

    Returns:
        Positions, momenta, and there the gradient of the potential and the potential itself.

    Raises:
        ValueError: If there is less than one step.

    Example:
        >>> start = {"x": torch.tensor(1.0)}, {"x": torch.tensor(0.0)}
        >>> z, r, *_ = velocity_verlet(*start, lambda z: z["x"] ** 2 / 2, lambda r: r, 0.01, 314)
        >>> z["x"]  # half a period
        tensor(-1.0000)
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    gradient = potential_grad(potential_fn, z)[0] if z_grads is None else z_grads
    for _ in range(num_steps):
        half = _moved(r, gradient, -step_size / 2)
        z = _moved(z, kinetic_grad(half), step_size)
        gradient, potential = potential_grad(potential_fn, z)
        r = _moved(half, gradient, -step_size / 2)
    return dict(z), dict(r), gradient, potential


def potential_grad(potential_fn: Potential, z: Variables) -> tuple[dict[str, Tensor], Tensor]:
    """Return the gradient of the potential, and the potential, both without a graph.

    The potential is nan and the gradient zero where it raises an error that a handler recognizes.

    Args:
        potential_fn: The potential energy (nats) of positions.
        z: Positions by name.

    Example:
        >>> potential_grad(lambda z: z["x"] ** 2, {"x": torch.tensor(3.0)})
        ({'x': tensor(6.)}, tensor(9.))
    """
    leaves = {name: x.detach().requires_grad_() for name, x in z.items()}
    try:
        with torch.enable_grad():
            potential = potential_fn(leaves)
        gradients = torch.autograd.grad(potential, list(leaves.values()))
    except Exception as error:
        if not any(handler(error) for handler in _HANDLERS.values()):
            raise
        zeros = {name: torch.zeros_like(x) for name, x in z.items()}
        return zeros, next(iter(zeros.values())).new_tensor(math.nan)
    return dict(zip(leaves, gradients, strict=True)), potential.detach()


def register_exception_handler(
    name: str, handler: Callable[[Exception], bool], warn_on_overwrite: bool = True
) -> None:
    """Let :func:`potential_grad` answer nan where the potential raises certain errors.

    Args:
        name: To replace the handler by another later.
        handler: Whether an error means that the potential has no value there.
        warn_on_overwrite: Whether to warn if the name is in use.
    """
    if warn_on_overwrite and name in _HANDLERS:
        warn(f"the exception handler {name!r} is replaced", RuntimeWarning)
    _HANDLERS[name] = handler


def _is_singular_matrix(error: Exception) -> bool:
    return isinstance(error, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


def _moved(start: Variables, direction: Variables, step: float) -> dict[str, Tensor]:
    return {name: x + step * direction[name] for name, x in start.items()}


register_exception_handler("torch_singular", _is_singular_matrix)
