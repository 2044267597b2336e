"""Optimizers for the parameters of the store.

The names of this module are ours; any other is looked up among the installed plugins of the group
``ppl.optimizers``, so that a third party's ``ppl.optim.Lion`` reads like one of these.
"""

from __future__ import annotations

from ppl import plugins as _plugins
from ppl.errors import UnknownPluginError as _UnknownPluginError

from . import pytorch_optimizers as pytorch_optimizers
from .errors import OptimError as OptimError
from .lr_scheduler import PyroLRScheduler as PyroLRScheduler
from .optim import AdagradRMSProp as AdagradRMSProp
from .optim import ClippedAdam as ClippedAdam
from .optim import DCTAdam as DCTAdam
from .optim import PyroOptim as PyroOptim
from .pytorch_optimizers import ASGD as ASGD
from .pytorch_optimizers import SGD as SGD
from .pytorch_optimizers import Adadelta as Adadelta
from .pytorch_optimizers import Adafactor as Adafactor
from .pytorch_optimizers import Adagrad as Adagrad
from .pytorch_optimizers import Adam as Adam
from .pytorch_optimizers import Adamax as Adamax
from .pytorch_optimizers import AdamW as AdamW
from .pytorch_optimizers import ChainedScheduler as ChainedScheduler
from .pytorch_optimizers import ConstantLR as ConstantLR
from .pytorch_optimizers import CosineAnnealingLR as CosineAnnealingLR
from .pytorch_optimizers import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from .pytorch_optimizers import CyclicLR as CyclicLR
from .pytorch_optimizers import ExponentialLR as ExponentialLR
from .pytorch_optimizers import LambdaLR as LambdaLR
from .pytorch_optimizers import LinearLR as LinearLR
from .pytorch_optimizers import LRScheduler as LRScheduler
from .pytorch_optimizers import MultiplicativeLR as MultiplicativeLR
from .pytorch_optimizers import MultiStepLR as MultiStepLR
from .pytorch_optimizers import NAdam as NAdam
from .pytorch_optimizers import OneCycleLR as OneCycleLR
from .pytorch_optimizers import PolynomialLR as PolynomialLR
from .pytorch_optimizers import RAdam as RAdam
from .pytorch_optimizers import ReduceLROnPlateau as ReduceLROnPlateau
from .pytorch_optimizers import RMSprop as RMSprop
from .pytorch_optimizers import Rprop as Rprop
from .pytorch_optimizers import SequentialLR as SequentialLR
from .pytorch_optimizers import SparseAdam as SparseAdam
from .pytorch_optimizers import StepLR as StepLR

_GROUP = "ppl.optimizers"


def __getattr__(name: str) -> object:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _plugins.load(_GROUP, name)
    except _UnknownPluginError as error:  # an AttributeError, so that hasattr keeps its meaning
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_plugins.names(_GROUP)})
