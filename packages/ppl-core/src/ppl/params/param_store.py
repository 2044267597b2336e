"""The parameter store: learnable tensors by name, free inside and constrained outside."""

from __future__ import annotations

import math
import os
import re
import weakref
from collections.abc import Callable, ItemsView, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints, transform_to

from ..arguments import as_tensor
from ..errors import MissingSiteError, SupportError
from ..plugins import nearest
from ..validation import is_validation_enabled
from .files import load_state, save_state
from .learnable import require_learnable

Init = Tensor | float | Callable[[], Any]
State = dict[str, dict[str, Any]]


class _LeafReference(weakref.ref[Tensor]):
    """Returns the leaf of a value; weak, since the value may be the leaf itself."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return _LeafReference, (self(),)  # pickled strong, with the value


class ParamStoreDict:
    """Parameters by name: reads and writes constrained values, optimizes unconstrained ones.

    For each name it holds an unconstrained leaf tensor and a constraint. Reading a name maps the
    leaf through ``transform_to(constraint)``; the result has a method ``unconstrained()`` that
    returns the leaf.

    Example:
        >>> store = ParamStoreDict()
        >>> scale = store.setdefault("scale", torch.tensor(2.0), constraints.positive)
        >>> round(scale.item(), 4), round(scale.unconstrained().item(), 4)
        (2.0, 0.6931)
    """

    def __init__(self) -> None:
        self._params: dict[str, Tensor] = {}
        self._param_to_name: dict[Tensor, str] = {}
        self._constraints: dict[str, constraints.Constraint] = {}

    def __copy__(self) -> ParamStoreDict:
        """Return a store that has the same leaves, and can get others."""
        new = type(self)()
        for name, leaf in self._params.items():
            new.adopt(name, leaf, self._constraints[name])
        return new

    def __repr__(self) -> str:
        known = ((name, self._constraints[name]) for name in self._params)
        parts = [f"{n}: {constraint} of shape {tuple(self[n].shape)}" for n, constraint in known]
        return f"ParamStoreDict({', '.join(parts)})"

    # a dict of constrained values

    def clear(self) -> None:
        """Forget all parameters."""
        self._params, self._param_to_name, self._constraints = {}, {}, {}

    def keys(self) -> Any:
        """The names."""
        return self._params.keys()

    def values(self) -> Iterator[Tensor]:
        """The constrained values."""
        return (self[name] for name in self._params)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs of name and constrained value."""
        return ((name, self[name]) for name in self._params)

    def __bool__(self) -> bool:
        return bool(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __contains__(self, name: object) -> bool:
        return name in self._params

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __delitem__(self, name: str) -> None:
        self._known(name)
        self._forget_leaf(self._params.pop(name))
        del self._constraints[name]

    def __getitem__(self, name: str) -> Tensor:
        leaf = self._known(name)
        value: Tensor = transform_to(self._constraints[name])(leaf)
        value.unconstrained = _LeafReference(leaf)  # type: ignore[attr-defined]
        return value

    def __setitem__(self, name: str, new_constrained_value: Any) -> None:
        constraint = self._constraints.get(name, constraints.real)
        self.adopt(name, _unconstrain(name, new_constrained_value, constraint), constraint)

    def setdefault(
        self,
        name: str,
        init_constrained_value: Init,
        constraint: constraints.Constraint = constraints.real,
    ) -> Tensor:
        """Return the constrained value of ``name``, after storing the initial one if it is new.

        Args:
            name: The name.
            init_constrained_value: A tensor, a number, or a function that returns one and is called
                only if the name is new.
            constraint: What the value must fulfil. An initial value that does not is projected
                where ``transform_to(constraint)`` can: onto the simplex or a triangle.

        Raises:
            SupportError: If the initial value has no projection.
            DtypeError, UnsupportedConstraintError: If it cannot be learned, see
                :func:`require_learnable`.
        """
        if name not in self._params:
            is_lazy = callable(init_constrained_value) and not isinstance(
                init_constrained_value, Tensor
            )
            value = init_constrained_value() if is_lazy else init_constrained_value  # type: ignore[operator]
            self.adopt(name, _unconstrain(name, value, constraint), constraint)
        return self[name]

    # unconstrained leaves

    def _known(self, name: str) -> Tensor:
        if name not in self._params:
            hint = nearest(name, list(self._params))
            raise MissingSiteError(
                f"there is no parameter {name!r}{hint}; give its first param statement an initial "
                "value",
                site=name,
            )
        return self._params[name]

    def adopt(self, name: str, leaf: Tensor, constraint: constraints.Constraint) -> None:
        """Keep an unconstrained leaf under a name: the tensor itself, which may be a module's."""
        if name in self._params:
            self._forget_leaf(self._params.pop(name))
        self._params[name] = leaf
        self._constraints[name] = constraint
        self._param_to_name[leaf] = name

    def _forget_leaf(self, leaf: Tensor) -> None:
        """Drop a leaf that lost a name; a tied one goes on under another of its names."""
        del self._param_to_name[leaf]
        other = next((name for name, known in self._params.items() if known is leaf), None)
        if other is not None:
            self._param_to_name[leaf] = other

    def named_parameters(self) -> ItemsView[str, Tensor]:
        """Pairs of name and unconstrained leaf."""
        return self._params.items()

    def get_all_param_names(self) -> Any:
        """The names."""
        return self._params.keys()

    def replace_param(self, param_name: str, new_param: Tensor, old_param: Tensor) -> None:
        """Give a parameter another constrained value; ``old_param`` must be its leaf or value."""
        leaf = self._known(param_name)
        if (
            old_param is not leaf
            and getattr(old_param, "unconstrained", lambda: None)() is not leaf
        ):
            raise MissingSiteError(f"the tensor to replace is not parameter {param_name!r}")
        self[param_name] = new_param

    def get_param(
        self,
        name: str,
        init_tensor: Init | None = None,
        constraint: constraints.Constraint = constraints.real,
        event_dim: int | None = None,
    ) -> Tensor:
        """Return the constrained value of ``name``: what the ``param`` statement calls."""
        return self[name] if init_tensor is None else self.setdefault(name, init_tensor, constraint)

    def match(self, name: str) -> dict[str, Tensor]:
        """Return the parameters whose names match a regular expression.

        Raises:
            MissingSiteError: If there is none.
        """
        pattern = re.compile(name)
        found = {known: self[known] for known in self._params if pattern.match(known)}
        if not found:
            raise MissingSiteError(f"no parameter matches {name!r}; known: {sorted(self._params)}")
        return found

    def param_name(self, p: Tensor) -> str | None:
        """Return the name of an unconstrained leaf, None if the store does not hold it."""
        return self._param_to_name.get(p)

    # states and files

    def get_state(self) -> State:
        """Return a copy of all leaves and their constraints."""
        params = {name: leaf.detach().clone() for name, leaf in self._params.items()}
        return {"params": params, "constraints": dict(self._constraints)}

    def set_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace everything by a state that :meth:`get_state` returned."""
        missing = set(state["params"]) ^ set(state["constraints"])
        if missing:
            raise MissingSiteError(f"the state lacks values or constraints of {sorted(missing)}")
        leaves = {
            name: leaf.detach().clone().requires_grad_() for name, leaf in state["params"].items()
        }
        self.clear()
        for name, leaf in leaves.items():
            self.adopt(name, leaf, state["constraints"][name])

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write all parameters to a file of plain tensors and constraint names, atomically."""
        save_state(self.get_state(), filename)

    def load(
        self,
        filename: str | os.PathLike[str],
        map_location: Any = None,
        trust: bool = False,
    ) -> None:
        """Replace everything by the contents of a file; nothing in the file is executed.

        Args:
            filename: A file that :meth:`save` wrote.
            map_location: Where to put the tensors, as in ``torch.load``.
            trust: Whether to read a file of Pyro too. It is a pickle: reading it executes any code
                that it contains. So load it only if you trust who made it, and save it again.

        Raises:
            FileFormatError: If the file is not one of ours; the store is left as it was.
        """
        self.set_state(load_state(filename, map_location, trust))

    @contextmanager
    def scope(self, state: State | None = None) -> Iterator[State]:
        """Use other parameters for a ``with`` block; yields a dict that holds them afterwards."""
        before = (self._params, self._param_to_name, self._constraints)
        inside: State = state if state is not None else {"params": {}, "constraints": {}}
        try:
            self.set_state(inside)
            yield inside
            inside.update(self.get_state())
        finally:
            self._params, self._param_to_name, self._constraints = before


def _unconstrain(name: str, new_value: Any, constraint: constraints.Constraint) -> Tensor:
    """Return the leaf of a new constrained value, after checking it."""
    value = as_tensor(new_value, f"parameter {name!r}", name, torch.get_default_dtype())
    require_learnable(name, value, constraint)
    if constraint is constraints.real and value.is_leaf and value.requires_grad:
        return value  # an nn.Parameter stays the module's own
    with torch.no_grad():
        if is_validation_enabled():
            _require_start(name, value, constraint)
        leaf = _finite_leaf(value.detach(), constraint).clone().contiguous()
    return leaf.requires_grad_()


def _require_start(name: str, value: Tensor, constraint: constraints.Constraint) -> None:
    """Refuse a value that neither fulfils a constraint nor is projected to one that does."""
    if not value.numel() or bool(torch.as_tensor(constraint.check(value)).all()):
        return
    with suppress(ValueError, RuntimeError, NotImplementedError):
        transform = transform_to(constraint)
        projected = transform(transform.inv(value))  # nan where there is no projection
        inside = transform(_finite_leaf(value, constraint, torch.finfo(projected.dtype).eps))
        if bool(projected.isfinite().all() & torch.as_tensor(constraint.check(inside)).all()):
            return
    raise SupportError(
        f"parameter {name!r}: the value must fulfil {constraint}, got {value}", site=name
    )


def _finite_leaf(
    value: Tensor, constraint: constraints.Constraint, margin: float | None = None
) -> Tensor:
    """Return a leaf that gradients can move: a start at the end of the support moves inside."""
    leaf: Tensor = transform_to(constraint).inv(value)
    if constraint is constraints.real:
        return leaf
    far = -math.log(margin or torch.finfo(leaf.dtype).tiny)
    return torch.where(leaf.isinf() & value.isfinite().all(), leaf.clamp(-far, far), leaf)


# names of module parameters: "module$$$parameter"

_SEPARATOR = "$$$"


def param_with_module_name(pyro_name: str, param_name: str) -> str:
    """Return the store's name of a parameter of a module.

    Example:
        >>> param_with_module_name("net", "weight")
        'net$$$weight'
    """
    return pyro_name + _SEPARATOR + param_name


def module_from_param_with_module_name(param_name: str) -> str:
    """Return the module part of a store name."""
    return param_name.split(_SEPARATOR)[0]


def user_param_name(param_name: str) -> str:
    """Return the parameter part of a store name."""
    return param_name.split(_SEPARATOR, 1)[-1]
