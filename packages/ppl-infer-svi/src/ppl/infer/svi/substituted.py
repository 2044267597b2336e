"""Run a program with given values for its parameters, whatever the store and its modules hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from ppl.errors import MissingSiteError
from ppl.infer.arguments import nearest_site
from ppl.params.current import param_store
from ppl.poutine.messenger import Messenger


class Substituted(Messenger):
    """Answers ``param`` statements by given values, those of registered modules included.

    Args:
        values: Constrained values by name.
        strict: Whether a parameter that has none is refused; else it starts as it says.

    Raises:
        MissingSiteError: If it is refused.
    """

    def __init__(self, values: Mapping[str, Tensor], strict: bool = False) -> None:
        self._values, self._strict = values, strict
        self._exchange = _Exchange()
        self._store: Any = None

    def __enter__(self) -> Any:
        self._store = param_store()
        self._store.__enter__()
        self._exchange.__enter__()  # type: ignore[no-untyped-call]
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        result = super().__exit__(*exception)
        self._exchange.__exit__(*exception)  # type: ignore[no-untyped-call]
        self._store.__exit__(*exception)
        return result

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if msg["done"]:
            return
        if name not in self._values:
            if self._strict:
                raise MissingSiteError(
                    f"parameter {name!r} was not there when init ran model and guide"
                    f"{nearest_site(name, self._values)}; parameters must appear in every run",
                    site=name,
                )
            return
        msg["value"] = self._values[name]
        msg["done"] = msg["stop"] = True
        own = msg["args"][1] if len(msg["args"]) > 1 else None
        if isinstance(own, nn.Parameter):  # of a module, which goes on to use it
            self._exchange.values[own] = msg["value"]


class _Exchange(TorchFunctionMode):
    """Operations that are given a parameter of a module see another value."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[Tensor, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if self.values:
            args, kwargs = tree_map_only(
                nn.Parameter, lambda x: self.values.get(x, x), (args, kwargs)
            )
        return func(*args, **(kwargs or {}))
