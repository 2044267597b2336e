"""Agreement of modules and parameter store: both hold the same leaf tensor of a parameter."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints, transform_to
from torch.utils.weak import WeakIdKeyDictionary

from .. import settings
from ..errors import ShapeError, SiteError
from ..params import ParamStoreDict
from ..params.param_store import _LeafReference, _unconstrain
from ..poutine.runtime import apply_stack, new_message
from ..primitives import get_param_store
from .context import Context
from .tree import Slot

# the module that a leaf of the store came from; a leaf from a file or an assignment has none
_owners: Any = WeakIdKeyDictionary()

local_params = False
settings.register("module_local_params", __name__, "local_params")


def read_param(
    name: str,
    owner: nn.Module,
    key: str,
    context: Context,
    constraint: constraints.Constraint = constraints.real,
    event_dim: int | None = None,
) -> Tensor:
    """Return the (constrained) value of a parameter of a module, as a ``param`` statement does.

    Unless a handler decides otherwise, the module and the store agree on one leaf first: the
    store's if it knows the name, otherwise the module's. What the store has from another module
    that is still there belongs to that one: a copy of a module keeps to its own values, and others
    are refused unless their root was given its name. A frozen parameter (``requires_grad=False``)
    is a constant and no site. With the setting ``module_local_params``
    the store is left alone.

    Args:
        name: The name of the site.
        owner: The module that holds the unconstrained leaf, as ``owner._parameters[key]``.
        key: See ``owner``.
        context: That of the module's tree.
        constraint: What the value fulfils.
        event_dim: The number of dimensions that plates leave alone, as in ``param``.

    Raises:
        ShapeError: If the store knows the name, with another shape.
        SiteError: If the name belongs to another module that is still there.
    """
    leaf: Any = owner._parameters[key]
    if isinstance(leaf, nn.Parameter) and not leaf.requires_grad:
        return constrain(leaf, constraint)
    fn = partial(_agreed_value, owner, key, context)
    kwargs = {"constraint": constraint, "event_dim": event_dim}
    value: Tensor = apply_stack(new_message("param", name, fn, (name,), kwargs))["value"]
    return value


def constrain(leaf: Tensor, constraint: constraints.Constraint) -> Tensor:
    """Return the value that an unconstrained leaf stands for."""
    value: Tensor = transform_to(constraint)(leaf)
    return value


def new_leaf(name: str, value: Any, constraint: constraints.Constraint) -> nn.Parameter:
    """Return a leaf of its own that stands for ``value``.

    Raises:
        SupportError: If the value does not fulfil the constraint.
    """
    return nn.Parameter(_unconstrain(name, value, constraint).detach().clone())


def forget_params(slots: Iterable[Slot]) -> None:
    """Remove parameters from the store, those that it has of these very modules.

    What was loaded, or is another module's, stays: it is waiting for a module of that name.
    """
    store = get_param_store()
    leaves = dict(store.named_parameters())
    for name, owner, _ in slots:
        if name in leaves and _owner(leaves[name]) is owner:
            del store[name]


def _agreed_value(
    owner: nn.Module,
    key: str,
    context: Context,
    name: str,
    constraint: constraints.Constraint,
    event_dim: int | None = None,
) -> Tensor:
    """The default behaviour of the statement; handlers read ``event_dim`` in its message."""
    leaf: Any = owner._parameters[key]
    # torch.func.functional_call puts other tensors in the place of parameters: the store's business
    # are the parameters alone
    if local_params or not isinstance(leaf, nn.Parameter):
        return _local_value(leaf, constraint)
    store = get_param_store()
    if name not in store:
        _adopt(store, name, owner, leaf, constraint)
    value: Any = store[name]
    stored = value.unconstrained()
    if stored is leaf:
        return value  # type: ignore[no-any-return]
    if context.is_copy and stored in _owners:
        if _other_owner(stored, owner) is not None:
            return _local_value(leaf, constraint)
        _adopt(store, name, owner, leaf, constraint)
    else:
        if not context.is_named:
            _refuse_other_owner(name, stored, owner)
        _follow(store, name, owner, key, constraint)
    return store[name]


def _adopt(
    store: ParamStoreDict,
    name: str,
    owner: nn.Module,
    leaf: Tensor,
    constraint: constraints.Constraint,
) -> None:
    store.adopt(name, leaf, constraint)
    _owners[leaf] = weakref.ref(owner)


def _owner(leaf: Tensor) -> nn.Module | None:
    """Return the module that a leaf of the store belongs to, if that is still there."""
    owner: nn.Module | None = _owners[leaf]() if leaf in _owners else None
    return owner


def _other_owner(leaf: Tensor, module: nn.Module) -> nn.Module | None:
    owner = _owner(leaf)
    return None if owner is module else owner


def _refuse_other_owner(name: str, stored: Tensor, module: nn.Module) -> None:
    if _other_owner(stored, module) is None:
        return
    gc.collect()  # what is only held by cycles is gone
    other = _other_owner(stored, module)
    if other is not None:
        raise SiteError(
            f"parameter {name!r}: it belongs to another module, a {type(other).__name__} that is "
            "still in use; to share it, use that module itself, or give both root modules one "
            "name, super().__init__('shared'); to keep two of them apart, give them different "
            "names, super().__init__('second'), or make both attributes of one PyroModule; for "
            "separate experiments: clear_param_store() or a block with ppl.param_store()",
            site=name,
        )


def _local_value(leaf: Tensor, constraint: constraints.Constraint) -> Tensor:
    value = constrain(leaf, constraint)
    value.unconstrained = _LeafReference(leaf)  # type: ignore[attr-defined]
    return value


def _follow(
    store: ParamStoreDict,
    name: str,
    owner: nn.Module,
    key: str,
    constraint: constraints.Constraint,
) -> None:
    """Give the module the store's value: the leaf of another module itself, or else its data."""
    leaf: Any = owner._parameters[key]
    value: Any = store[name]
    stored = value.unconstrained()
    if stored.shape != leaf.shape:
        raise ShapeError(
            f"parameter {name!r}: the module's unconstrained value has shape {tuple(leaf.shape)}, "
            f"but the parameter store knows the name with shape {tuple(stored.shape)}; call "
            "clear_param_store() before a new experiment, or give the root modules different names"
        )
    if isinstance(stored, nn.Parameter):
        owner._parameters[key] = stored
        _owners[stored] = weakref.ref(owner)
        return
    # from a file or an assignment; torch's optimizers keep track of the module's own leaf
    same_constraint = torch.equal(constrain(stored, constraint), value)
    leaf.data = (stored if same_constraint else _unconstrain(name, value, constraint)).detach()
    _adopt(store, name, owner, leaf, constraint)
