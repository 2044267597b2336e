"""Deep universal probabilistic programming on PyTorch: models are functions, inference is handlers.

``import ppl`` gives the primitives; the sub-packages ``ppl.distributions``, ``ppl.infer``,
``ppl.optim``, ``ppl.nn`` and ``ppl.contrib`` load at first use, from whatever is installed.
"""

from __future__ import annotations

# other distributions add sub-packages
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
__distribution__ = "ppl-core"  # a root without it is another project's


from . import foreign as _foreign
from . import plugins as _plugins
from . import poutine as poutine
from . import settings as settings
from .absent import absent_is_no_attribute as _absent_is_no_attribute
from .absent import announce as _announce
from .absent import is_installed as _is_installed
from .checker import check as check
from .deprecated import iarange as iarange
from .deprecated import irange as irange
from .deprecated import random_module as random_module
from .logger import log as log
from .plates import plate_stack as plate_stack
from .poutine.handlers import condition as condition
from .poutine.handlers import do as do
from .poutine.handlers import markov as markov
from .primitives import barrier as barrier
from .primitives import clear_param_store as clear_param_store
from .primitives import deterministic as deterministic
from .primitives import factor as factor
from .primitives import get_param_store as get_param_store
from .primitives import module as module
from .primitives import param as param
from .primitives import param_store as param_store
from .primitives import plate as plate
from .primitives import sample as sample
from .primitives import subsample as subsample
from .util import get_rng_state as get_rng_state
from .util import set_rng_seed as set_rng_seed
from .util import set_rng_state as set_rng_state
from .validation import enable_validation as enable_validation
from .validation import validation_enabled as validation_enabled

__version__ = "0.1.0"

# sub-packages that load at first use, and the distribution that ships each
_SUBPACKAGES = {
    "contrib": "ppl-contrib-flows",
    "distributions": "ppl-distributions",
    "infer": "ppl-infer",
    "nn": "ppl-core",
    "ops": "ppl-distributions",
    "optim": "ppl-optim",
}
_foreign.notice(__path__)
# functions of other distributions, and the module and distribution of each
_FUNCTIONS = {"render_model": ("ppl.infer.inspect", "ppl-infer")}


_announce(__name__, {**_SUBPACKAGES, **{name: owner for name, (_, owner) in _FUNCTIONS.items()}})


@_absent_is_no_attribute
def __getattr__(name: str) -> object:
    if name in _FUNCTIONS:
        module, provider = _FUNCTIONS[name]
        return getattr(_plugins.load_module(module, provider, f"ppl.{name}"), name)
    if name not in _SUBPACKAGES:
        hint = _plugins.nearest(name, [x for x in __dir__() if not x.startswith("_")])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    return _plugins.load_module(f"{__name__}.{name}", _SUBPACKAGES[name])


def __dir__() -> list[str]:
    installed = [name for name in _SUBPACKAGES if _is_installed(f"{__name__}.{name}")]
    return sorted({*globals(), *installed})
