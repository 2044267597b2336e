"""Automatic guides: variational families made from a model."""

import typing as _typing

from ppl.infer.initialization import init_to_feasible as init_to_feasible
from ppl.infer.initialization import init_to_generated as init_to_generated
from ppl.infer.initialization import init_to_mean as init_to_mean
from ppl.infer.initialization import init_to_median as init_to_median
from ppl.infer.initialization import init_to_sample as init_to_sample
from ppl.infer.initialization import init_to_uniform as init_to_uniform
from ppl.infer.initialization import init_to_value as init_to_value
from ppl.plugins import misspelt as _misspelt

from .auto_batch_and_match import AutoBatchAndMatch as AutoBatchAndMatch
from .auto_callable import AutoCallable as AutoCallable
from .auto_continuous import AutoContinuous as AutoContinuous
from .auto_dais import AutoDAIS as AutoDAIS
from .auto_delta import AutoDelta as AutoDelta
from .auto_diagonal_normal import AutoDiagonalNormal as AutoDiagonalNormal
from .auto_discrete_parallel import AutoDiscreteParallel as AutoDiscreteParallel
from .auto_gaussian import AutoGaussian as AutoGaussian
from .auto_guide_list import AutoGuideList as AutoGuideList
from .auto_hierarchical_normal_messenger import (
    AutoHierarchicalNormalMessenger as AutoHierarchicalNormalMessenger,
)
from .auto_iaf_normal import AutoIAFNormal as AutoIAFNormal
from .auto_laplace_approximation import AutoLaplaceApproximation as AutoLaplaceApproximation
from .auto_low_rank_multivariate_normal import (
    AutoLowRankMultivariateNormal as AutoLowRankMultivariateNormal,
)
from .auto_messenger import AutoMessenger as AutoMessenger
from .auto_multivariate_normal import AutoMultivariateNormal as AutoMultivariateNormal
from .auto_normal import AutoNormal as AutoNormal
from .auto_normal_messenger import AutoNormalMessenger as AutoNormalMessenger
from .auto_normalizing_flow import AutoNormalizingFlow as AutoNormalizingFlow
from .auto_pathfinder import AutoPathfinder as AutoPathfinder
from .auto_regressive_messenger import AutoRegressiveMessenger as AutoRegressiveMessenger
from .auto_structured import AutoStructured as AutoStructured
from .diagnostics import GuideDiagnostics as GuideDiagnostics
from .diagnostics import diagnose as diagnose
from .entropy import mean_field_entropy as mean_field_entropy
from .guide import AutoGuide as AutoGuide

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
