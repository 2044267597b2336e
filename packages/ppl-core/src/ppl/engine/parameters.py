"""Parameters as inputs of a recording, so that it sees their updates and has gradients for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.distributions import constraints, transform_to

from ..poutine.messenger import Messenger
from ..poutine.runtime import am_i_wrapped
from ..primitives import get_param_store, param


class Leaf(NamedTuple):
    """An unconstrained tensor and what its constrained value fulfils."""

    tensor: Tensor
    constraint: constraints.Constraint


class ParamStatements(Messenger):
    """Notes the param statements of a program and the values that answered them, by name."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self.leaves: dict[str, Leaf] = {}

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        if not msg["done"]:  # nobody further in supplies the value
            self.seen.setdefault(msg["name"], (msg["args"], msg["kwargs"]))

    def _postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.seen:  # whatever its type is by now: it may have been lifted
            self.leaves.setdefault(msg["name"], leaf_of(msg["name"], msg["value"]))

    def repeat(self) -> dict[str, Leaf]:
        """Make the same statements, for the handlers around, and return where the values come from.

        Without handlers the leaves are read from the store.
        """
        store = get_param_store()
        known = {} if am_i_wrapped() else dict(store.named_parameters())
        return {
            name: Leaf(known[name], store._constraints[name])
            if name in known
            else leaf_of(name, param(*args, **kwargs))
            for name, (args, kwargs) in self.seen.items()
        }


def leaf_of(name: str, value: Tensor) -> Leaf:
    """Return the store's leaf behind a value; one that is not the store's is its own leaf."""
    store = get_param_store()
    tensor = getattr(value, "unconstrained", lambda: None)()
    if tensor is None or store.param_name(tensor) is None:
        return Leaf(value, constraints.real)
    return Leaf(tensor, store._constraints[name])


class GivenParams(Messenger):
    """Answers param statements from given leaves instead of the store."""

    def __init__(self, leaves: Mapping[str, Leaf]) -> None:
        self.given = leaves

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.given and not msg["done"]:
            tensor, constraint = self.given[msg["name"]]
            msg["value"] = value = transform_to(constraint)(tensor)
            value.unconstrained = lambda: tensor
            msg["done"] = msg["stop"] = True


def leaves_behind(results: Iterable[Tensor], inputs: Iterable[Tensor]) -> list[Tensor]:
    """Return the leaves to which backward would add gradients, but for those behind the inputs.

    Args:
        results: What was computed.
        inputs: From what; what these were computed from does not matter.
    """
    found: dict[Tensor, None] = {}
    nodes = [result.grad_fn for result in results if result.grad_fn is not None]
    seen = {*nodes, *(x.grad_fn for x in inputs if x.grad_fn is not None)}
    while nodes:
        node = nodes.pop()
        if hasattr(node, "variable"):
            found[node.variable] = None
        later = {after for after, _ in node.next_functions if after is not None} - seen
        seen |= later
        nodes.extend(later)
    return list(found)
