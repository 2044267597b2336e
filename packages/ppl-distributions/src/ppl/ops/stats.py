"""Statistics of draws: the one place to import them from."""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .convergence import effective_sample_size as effective_sample_size
from .convergence import ess_bulk as ess_bulk
from .convergence import ess_mean as ess_mean
from .convergence import ess_sd as ess_sd
from .convergence import ess_tail as ess_tail
from .convergence import gelman_rubin as gelman_rubin
from .convergence import mcse_mean as mcse_mean
from .convergence import mcse_sd as mcse_sd
from .convergence import rhat as rhat
from .convergence import split_gelman_rubin as split_gelman_rubin
from .pareto import fit_generalized_pareto as fit_generalized_pareto
from .pareto import psis as psis
from .quantiles import hpdi as hpdi
from .quantiles import pi as pi
from .quantiles import quantile as quantile
from .quantiles import weighed_quantile as weighed_quantile
from .resampling import resample as resample
from .scores import crps_empirical as crps_empirical
from .scores import energy_score_empirical as energy_score_empirical
from .scores import waic as waic
from .series import autocorrelation as autocorrelation
from .series import autocovariance as autocovariance

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
