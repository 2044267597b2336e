"""Inference algorithms: a lazy facade over the distributions that are installed.

``ppl.infer.SVI`` comes from ppl-infer-svi, ``ppl.infer.NUTS`` from ppl-infer-mcmc, and so on: each
registers its names in the entry-point group ``ppl.infer``. The import of a known name whose
distribution is not installed says which one to install, and so does its attribute.
"""

from __future__ import annotations

# other distributions add sub-packages
__path__ = __import__("pkgutil").extend_path(__path__, __name__)

import importlib as _importlib
from typing import TYPE_CHECKING

import ppl.plugins as _plugins
from ppl.absent import absent_is_no_attribute as _absent_is_no_attribute
from ppl.absent import announce as _announce
from ppl.absent import is_installed as _is_installed

from .calibration import calibrate as calibrate
from .csis import CSIS as CSIS
from .discrete import infer_discrete as infer_discrete
from .elbo import ELBO as ELBO
from .enum import config_enumerate as config_enumerate
from .importance import Importance as Importance
from .likelihood import log_likelihood as log_likelihood
from .marginals import EmpiricalMarginal as EmpiricalMarginal
from .mh_resampler import MHResampler as MHResampler
from .predictive import Predictive as Predictive
from .results.methods import posterior as posterior
from .results.posterior import Posterior as Posterior
from .search import Search as Search
from .smc import SMC as SMC
from .smcfilter import SMCFilter as SMCFilter
from .trace_posterior import TracePosterior as TracePosterior
from .trace_predictive import TracePredictive as TracePredictive
from .util import enable_validation as enable_validation
from .util import is_validation_enabled as is_validation_enabled
from .weighed_predictive import WeighedPredictive as WeighedPredictive

if TYPE_CHECKING:
    from ppl.infer.mcmc import HMC as HMC  # type: ignore[import-not-found,unused-ignore]
    from ppl.infer.mcmc import HMCECS as HMCECS  # type: ignore[import-not-found,unused-ignore]
    from ppl.infer.mcmc import MCMC as MCMC  # type: ignore[import-not-found,unused-ignore]
    from ppl.infer.mcmc import NUTS as NUTS  # type: ignore[import-not-found,unused-ignore]
    from ppl.infer.mcmc import (  # type: ignore[import-not-found,unused-ignore]
        DiscreteGibbs as DiscreteGibbs,
    )
    from ppl.infer.mcmc import Gibbs as Gibbs  # type: ignore[import-not-found,unused-ignore]
    from ppl.infer.mcmc import (  # type: ignore[import-not-found,unused-ignore]
        RandomWalkKernel as RandomWalkKernel,
    )
    from ppl.infer.mcmc import (  # type: ignore[import-not-found,unused-ignore]
        StreamingMCMC as StreamingMCMC,
    )
    from ppl.infer.svi import SVI as SVI  # type: ignore[import-not-found,unused-ignore]
    from ppl.infer.svi import Trace_ELBO as Trace_ELBO  # type: ignore[import-not-found,unused-ignore]

# names and sub-packages of the distributions above this one, and who provides each
PROVIDERS = {
    "SVI": "ppl-infer-svi",
    "Trace_ELBO": "ppl-infer-svi",
    "DiscreteGibbs": "ppl-infer-mcmc",
    "Gibbs": "ppl-infer-mcmc",
    "MCMC": "ppl-infer-mcmc",
    "HMC": "ppl-infer-mcmc",
    "HMCECS": "ppl-infer-mcmc",
    "NUTS": "ppl-infer-mcmc",
    "RandomWalkKernel": "ppl-infer-mcmc",
    "StreamingMCMC": "ppl-infer-mcmc",
}
_SUBPACKAGES = {"svi": "ppl-infer-svi", "mcmc": "ppl-infer-mcmc", "autoguide": "ppl-autoguide"}

_announce(__name__, {**_SUBPACKAGES, **PROVIDERS})


@_absent_is_no_attribute
def __getattr__(name: str) -> object:
    if name == "__all__":  # what "from ppl.infer import *" imports
        return [n for n in __dir__() if n not in _SUBPACKAGES and callable(globals().get(n, dir))]
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _SUBPACKAGES:
        return _subpackage(name)
    if name not in PROVIDERS and name not in _plugins.names(__name__):
        if _is_installed(f"{__name__}.{name}"):
            return _importlib.import_module(f"{__name__}.{name}")
        hint = _plugins.nearest(name, __dir__())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    return _plugins.load(__name__, name, provider=PROVIDERS.get(name))


def __dir__() -> list[str]:
    installed = [name for name in _SUBPACKAGES if _is_installed(f"{__name__}.{name}")]
    public = [name for name in globals() if not name.startswith("_")]
    return sorted({*public, *installed, *_plugins.names(__name__)})


def _subpackage(name: str) -> object:
    if not _is_installed(f"{__name__}.{name}"):
        raise _plugins.missing(f"{__name__}.{name}", _SUBPACKAGES[name])
    return _importlib.import_module(f"{__name__}.{name}")
