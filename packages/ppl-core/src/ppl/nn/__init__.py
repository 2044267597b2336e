"""Modules of torch whose parameters and random weights take part in a model.

The networks of normalizing flows come from ppl-contrib-flows, at their first use.
"""

from __future__ import annotations

# other distributions add modules
__path__ = __import__("pkgutil").extend_path(__path__, __name__)

import importlib as _importlib
import importlib.util as _importlib_util
from typing import TYPE_CHECKING

from .. import plugins as _plugins
from ..absent import absent_is_no_attribute as _absent_is_no_attribute
from ..absent import announce as _announce
from .context import pyro_method as pyro_method
from .declarations import PyroParam as PyroParam
from .declarations import PyroSample as PyroSample
from .module import PyroModule as PyroModule
from .module import PyroModuleList as PyroModuleList

if TYPE_CHECKING:
    from ppl.nn.auto_reg_nn import AutoRegressiveNN as AutoRegressiveNN  # type: ignore[import-not-found,unused-ignore]
    from ppl.nn.auto_reg_nn import ConditionalAutoRegressiveNN as ConditionalAutoRegressiveNN  # type: ignore[import-not-found,unused-ignore]
    from ppl.nn.auto_reg_nn import MaskedLinear as MaskedLinear  # type: ignore[import-not-found,unused-ignore]
    from ppl.nn.dense_nn import ConditionalDenseNN as ConditionalDenseNN  # type: ignore[import-not-found,unused-ignore]
    from ppl.nn.dense_nn import DenseNN as DenseNN  # type: ignore[import-not-found,unused-ignore]

_PROVIDER = "ppl-contrib-flows"
_MODULES = {
    "AutoRegressiveNN": "auto_reg_nn",
    "ConditionalAutoRegressiveNN": "auto_reg_nn",
    "ConditionalDenseNN": "dense_nn",
    "DenseNN": "dense_nn",
    "MaskedLinear": "auto_reg_nn",
}


_announce(__name__, dict.fromkeys(_MODULES, _PROVIDER))


@_absent_is_no_attribute
def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(_module(_MODULES[name], asked=name), name)
    if name in _MODULES.values():
        return _module(name, asked=name)
    hint = _plugins.nearest(name, __dir__())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    public = [name for name in globals() if not name.startswith("_")]
    return sorted({*public, *(name for name in _MODULES if _is_installed(_MODULES[name]))})


def _module(name: str, asked: str) -> object:
    if not _is_installed(name):
        raise _plugins.missing(f"{__name__}.{asked}", _PROVIDER)
    return _importlib.import_module(f"{__name__}.{name}")


def _is_installed(module: str) -> bool:
    return _importlib_util.find_spec(f"{__name__}.{module}") is not None
