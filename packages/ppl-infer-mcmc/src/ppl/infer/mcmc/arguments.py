"""What the arguments of kernels and drivers may be, and which name was meant by a wrong one."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Collection, Mapping
from typing import Any, SupportsFloat, TypeVar

import numpy as np
import torch
from torch import Tensor

from ppl.errors import ArgumentError, ArgumentTypeError
from ppl.plugins import nearest
from ppl.poutine.program_errors import require_instance, require_program

Class = TypeVar("Class", bound=type)

ELSEWHERE = {  # what others call an argument, or where it belongs
    "chains": "num_chains",
    "cores": "num_processes",
    "dense_mass": "full_mass",
    "draws": "num_samples",
    "init": "init_strategy",
    "init_params": "initial_params",
    "initvals": "initial_params",
    "inits": "initial_params",
    "iterations": "num_samples",
    "max_treedepth": "max_tree_depth",
    "metric": "inverse_mass_matrix",
    "n_chains": "num_chains",
    "n_samples": "num_samples",
    "num_burnin": "warmup_steps",
    "num_draws": "num_samples",
    "num_warmup": "warmup_steps",
    "progress_bar": "disable_progbar",
    "progressbar": "disable_progbar",
    "target_accept": "target_accept_prob",
    "thin": "thinning",
    "tune": "warmup_steps",
    "warmup": "warmup_steps",
}
SEEDS = ("seed", "random_seed", "rng_key", "rng_seed")
OF_DRIVERS = [
    "num_samples",
    "warmup_steps",
    "num_chains",
    "initial_params",
    "hook_fn",
    "disable_progbar",
    "save_params",
    "chain_method",
    "thinning",
    "num_processes",
]
OF_KERNELS = [
    "adapt",
    "cross_chain_adaptation",
    "step_size",
    "adapt_step_size",
    "adapt_mass_matrix",
    "full_mass",
    "trajectory_length",
    "num_steps",
    "target_accept_prob",
    "max_tree_depth",
    "max_plate_nesting",
    "init_strategy",
    "inverse_mass_matrix",
    "jit_compile",
]


def names_unknown_arguments(cls: Class) -> Class:
    """Let a class answer an unknown keyword argument with the one that may be meant.

    Raises:
        ArgumentTypeError: When an instance is made with an unknown keyword.
    """
    init = cls.__init__  # type: ignore[misc]
    known = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in known:
                raise ArgumentTypeError(
                    f"{cls.__name__} has no argument {name!r}{_meant(name, known)}"
                )
        init(self, *args, **kwargs)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


def _meant(name: str, known: list[str]) -> str:
    """Return a phrase that says which argument a wrong name may stand for, and where it goes."""
    if name in SEEDS:
        return ": call ppl.set_rng_seed(seed) before the run"
    name = ELSEWHERE.get(name, name)
    if name in known:
        return f"; did you mean {name!r}?"
    if hint := nearest(name, known):
        return hint
    if name in OF_KERNELS:
        return f"; {name!r} is an argument of a kernel: NUTS(model, {name}=...)"
    if name in OF_DRIVERS:
        return f"; {name!r} is an argument of MCMC: MCMC(kernel, {name}=...)"
    return f"; it takes {', '.join(known)}"


def whole_number(name: str, value: Any, minimum: int) -> int:
    """Return a number of things, such as draws; floats are refused, even whole ones.

    Raises:
        ArgumentError: If it is too small.
        ArgumentTypeError: If it is no whole number.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ArgumentTypeError(f"{name} must be a whole number, got {value!r}")
    if number < minimum:
        raise ArgumentError(f"{name} must be at least {minimum}, got {number}")
    return number


def between(name: str, value: Any, low: float, high: float) -> float:
    """Return a number strictly between two others.

    Raises:
        ArgumentError: If it is not.
        ArgumentTypeError: If it is no number.
    """
    is_number = isinstance(value, SupportsFloat) and not isinstance(value, bool)
    if isinstance(value, (Tensor, np.ndarray)):
        is_number = math.prod(value.shape) == 1
    if not is_number:
        raise ArgumentTypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not low < number < high:
        asked = f"lie in ({low:g}, {high:g})" if high < math.inf else "be positive and finite"
        raise ArgumentError(f"{name} must {asked}, got {number:g}")
    return number


def flag(name: str, value: Any) -> bool:
    """Return a truth value.

    Raises:
        ArgumentTypeError: If it is none.
    """
    if not isinstance(value, (bool, np.bool_)) and value not in (0, 1):
        raise ArgumentTypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def step_size(name: str, value: Any) -> float | Tensor:
    """Return a step size, or one for each chain; None stands for 1.

    Raises:
        ArgumentError: If a step size is not positive and finite.
        ArgumentTypeError: If it is no number or tensor.
    """
    if value is None:
        return 1.0
    if isinstance(value, Tensor) and value.numel() > 1:
        steps = value.detach()
        if not bool(((steps > 0) & steps.isfinite()).all()):
            raise ArgumentError(f"{name} must be positive and finite, got {value}")
        return steps
    number = between(name, value, 0.0, math.inf)
    return value.detach() if isinstance(value, Tensor) else number


def optional_mapping(name: str, value: Any, holds: str) -> Any:
    """Return a mapping as it is; None stands for an empty one.

    Raises:
        ArgumentTypeError: If it is no mapping.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ArgumentTypeError(f"{name} must be a dict of {holds} by site, got {value!r}")
    return value


def start_values(values: Any) -> dict[str, Tensor] | None:
    """Return starting values as tensors of floats, by site.

    Raises:
        ArgumentTypeError: If they are no mapping of names to tensors, arrays or numbers.
    """
    if optional_mapping("initial_params", values, "unconstrained values") is None:
        return None
    return {name: _as_floats(name, value) for name, value in values.items()}


def _as_floats(name: Any, value: Any) -> Tensor:
    if not isinstance(name, str):
        raise ArgumentTypeError(f"initial_params must have names of sites as keys, got {name!r}")
    try:
        tensor = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(
            f"initial_params[{name!r}] must be a tensor or numbers, got {value!r}"
        ) from error
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def function(name: str, value: Any) -> Any:
    """Return a function as it is.

    Raises:
        ArgumentTypeError: If it cannot be called.
    """
    if not callable(value):
        raise ArgumentTypeError(f"{name} must be a function, got {value!r}")
    return value


def names_of_sites(name: str, value: Any) -> list[str] | None:
    """Return a list of names.

    Raises:
        ArgumentTypeError: If it is a single string, or holds something else.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ArgumentTypeError(f"{name} must be a list of names of sites, got {value!r}")
    if not all(isinstance(one, str) for one in value):
        raise ArgumentTypeError(f"{name} must be a list of names of sites, got {list(value)}")
    return list(value)


def one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Return a choice.

    Raises:
        ArgumentError: If it is none of those there are.
    """
    if value not in choices:
        hint = nearest(value, list(choices)) if isinstance(value, str) else ""
        raise ArgumentError(f"{name} must be one of {tuple(choices)}, got {value!r}{hint}")
    return value


def one_program(kernel: str, model: Any, potential_fn: Any) -> None:
    """Check that a kernel is given either a model or a potential function."""
    if (model is None) == (potential_fn is None):
        raise ArgumentError(
            f"{kernel} needs either a model or a potential_fn: the model itself, not what it "
            "returns"
        )
    if potential_fn is None:
        require_program("model", model)
        require_instance("model", model)
    else:
        function("potential_fn", potential_fn)


def step_bounds(smallest: Any, largest: Any) -> tuple[float, float]:
    """Return the bounds of a step size, if they are in order."""
    smallest = between("min_stepsize", smallest, 0.0, math.inf)
    largest = between("max_stepsize", largest, 0.0, math.inf)
    if smallest > largest:
        raise ArgumentError(f"min_stepsize={smallest:g} is larger than max_stepsize={largest:g}")
    return smallest, largest
