"""Every optimizer and schedule of torch as a function ``(optim_args, clip_args=None)``.

The options may be keywords as well: ``Adam(lr=0.01)``.

LBFGS is left out: it keeps one state for all parameters and must evaluate the loss again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler as TorchLRScheduler

from .lr_scheduler import PyroLRScheduler
from .optim import PyroOptim
from .options import Options, merge

Factory = Callable[..., PyroOptim]


def wrap_optimizer(constructor: type[torch.optim.Optimizer]) -> Factory:
    """Return the function that makes a PyroOptim of a class of torch optimizers."""

    def make(
        optim_args: Options | None = None, clip_args: Options | None = None, **options: Any
    ) -> PyroOptim:
        return PyroOptim(constructor, merge(optim_args, options), clip_args)

    return _named(make, constructor, "PyroOptim")


def wrap_scheduler(constructor: type[TorchLRScheduler]) -> Factory:
    """Return the function that makes a PyroLRScheduler of a class of torch schedulers."""

    def make(
        optim_args: Options | None = None, clip_args: Options | None = None, **options: Any
    ) -> PyroOptim:
        if "optimizer" in options:  # all by keyword: optim_args are those of the optimizer
            optim_args, options = {**options, "optim_args": optim_args or {}}, {}
        return PyroLRScheduler(constructor, merge(optim_args, options), clip_args)

    return _named(make, constructor, "PyroLRScheduler")


def _named(make: Factory, constructor: type, wrapper: str) -> Factory:
    make.__name__ = make.__qualname__ = constructor.__name__
    make.__doc__ = (
        f"Return a :class:`~ppl.optim.{wrapper}` of "
        f":class:`{constructor.__module__}.{constructor.__qualname__}`."
    )
    return make


ASGD = wrap_optimizer(torch.optim.ASGD)
Adadelta: Factory = wrap_optimizer(torch.optim.Adadelta)
Adafactor: Factory = wrap_optimizer(torch.optim.Adafactor)
Adagrad: Factory = wrap_optimizer(torch.optim.Adagrad)
Adam: Factory = wrap_optimizer(torch.optim.Adam)
AdamW: Factory = wrap_optimizer(torch.optim.AdamW)
Adamax: Factory = wrap_optimizer(torch.optim.Adamax)
NAdam: Factory = wrap_optimizer(torch.optim.NAdam)
RAdam: Factory = wrap_optimizer(torch.optim.RAdam)
RMSprop: Factory = wrap_optimizer(torch.optim.RMSprop)
Rprop: Factory = wrap_optimizer(torch.optim.Rprop)
SGD = wrap_optimizer(torch.optim.SGD)
SparseAdam: Factory = wrap_optimizer(torch.optim.SparseAdam)

ChainedScheduler: Factory = wrap_scheduler(lr_scheduler.ChainedScheduler)
ConstantLR: Factory = wrap_scheduler(lr_scheduler.ConstantLR)
CosineAnnealingLR: Factory = wrap_scheduler(lr_scheduler.CosineAnnealingLR)
CosineAnnealingWarmRestarts: Factory = wrap_scheduler(lr_scheduler.CosineAnnealingWarmRestarts)
CyclicLR: Factory = wrap_scheduler(lr_scheduler.CyclicLR)
ExponentialLR: Factory = wrap_scheduler(lr_scheduler.ExponentialLR)
LRScheduler: Factory = wrap_scheduler(lr_scheduler.LRScheduler)
LambdaLR: Factory = wrap_scheduler(lr_scheduler.LambdaLR)
LinearLR: Factory = wrap_scheduler(lr_scheduler.LinearLR)
MultiStepLR: Factory = wrap_scheduler(lr_scheduler.MultiStepLR)
MultiplicativeLR: Factory = wrap_scheduler(lr_scheduler.MultiplicativeLR)
OneCycleLR: Factory = wrap_scheduler(lr_scheduler.OneCycleLR)
PolynomialLR: Factory = wrap_scheduler(lr_scheduler.PolynomialLR)
ReduceLROnPlateau: Factory = wrap_scheduler(lr_scheduler.ReduceLROnPlateau)
SequentialLR: Factory = wrap_scheduler(lr_scheduler.SequentialLR)
StepLR: Factory = wrap_scheduler(lr_scheduler.StepLR)

if hasattr(torch.optim, "Muon"):  # since torch 2.9
    Muon: Factory = wrap_optimizer(torch.optim.Muon)
