"""Reparameterizers: other geometries of the same model, for ``poutine.reparam``.

A config names them by site, ``poutine.reparam(model, config={"x": LocScaleReparam()})``, or is a
strategy that chooses, ``poutine.reparam(model, config=AutoReparam())``.
"""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .circular import CircularReparam as CircularReparam
from .conjugate import ConjugateReparam as ConjugateReparam
from .discrete_cosine import DiscreteCosineReparam as DiscreteCosineReparam
from .haar import HaarReparam as HaarReparam
from .hmm import LinearHMMReparam as LinearHMMReparam
from .loc_scale import LocScaleReparam as LocScaleReparam
from .neutra import NeuTraReparam as NeuTraReparam
from .projected_normal import ProjectedNormalReparam as ProjectedNormalReparam
from .reparam import LatentOnlyError as LatentOnlyError
from .reparam import Reparam as Reparam
from .reparam import UnsupportedDistributionError as UnsupportedDistributionError
from .softmax import GumbelSoftmaxReparam as GumbelSoftmaxReparam
from .split import SplitReparam as SplitReparam
from .stable import LatentStableReparam as LatentStableReparam
from .stable import StableReparam as StableReparam
from .stable import SymmetricStableReparam as SymmetricStableReparam
from .strategies import AutoReparam as AutoReparam
from .strategies import MinimalReparam as MinimalReparam
from .strategies import Strategy as Strategy
from .structured import StructuredReparam as StructuredReparam
from .studentt import StudentTReparam as StudentTReparam
from .transform import TransformReparam as TransformReparam
from .unit_jacobian import UnitJacobianReparam as UnitJacobianReparam

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
