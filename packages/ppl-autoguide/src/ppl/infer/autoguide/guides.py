"""The automatic guides at the path where programs look for them."""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .auto_callable import AutoCallable as AutoCallable
from .auto_continuous import AutoContinuous as AutoContinuous
from .auto_delta import AutoDelta as AutoDelta
from .auto_diagonal_normal import AutoDiagonalNormal as AutoDiagonalNormal
from .auto_discrete_parallel import AutoDiscreteParallel as AutoDiscreteParallel
from .auto_guide_list import AutoGuideList as AutoGuideList
from .auto_iaf_normal import AutoIAFNormal as AutoIAFNormal
from .auto_laplace_approximation import AutoLaplaceApproximation as AutoLaplaceApproximation
from .auto_low_rank_multivariate_normal import (
    AutoLowRankMultivariateNormal as AutoLowRankMultivariateNormal,
)
from .auto_multivariate_normal import AutoMultivariateNormal as AutoMultivariateNormal
from .auto_normal import AutoNormal as AutoNormal
from .auto_normalizing_flow import AutoNormalizingFlow as AutoNormalizingFlow
from .guide import AutoGuide as AutoGuide

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
