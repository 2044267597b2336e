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
Adadelta = wrap_optimizer(torch.optim.Adadelta)
Adafactor = wrap_optimizer(torch.optim.Adafactor)
Adagrad = wrap_optimizer(torch.optim.Adagrad)
Adam = wrap_optimizer(torch.optim.Adam)
AdamW = wrap_optimizer(torch.optim.AdamW)
Adamax = wrap_optimizer(torch.optim.Adamax)
NAdam = wrap_optimizer(torch.optim.NAdam)
RAdam = wrap_optimizer(torch.optim.RAdam)
RMSprop = wrap_optimizer(torch.optim.RMSprop)
Rprop = wrap_optimizer(torch.optim.Rprop)
SGD = wrap_optimizer(torch.optim.SGD)
SparseAdam = wrap_optimizer(torch.optim.SparseAdam)

ChainedScheduler = wrap_scheduler(lr_scheduler.ChainedScheduler)
ConstantLR = wrap_scheduler(lr_scheduler.ConstantLR)
CosineAnnealingLR = wrap_scheduler(lr_scheduler.CosineAnnealingLR)
CosineAnnealingWarmRestarts = wrap_scheduler(lr_scheduler.CosineAnnealingWarmRestarts)
CyclicLR = wrap_scheduler(lr_scheduler.CyclicLR)
ExponentialLR = wrap_scheduler(lr_scheduler.ExponentialLR)
LRScheduler = wrap_scheduler(lr_scheduler.LRScheduler)
LambdaLR = wrap_scheduler(lr_scheduler.LambdaLR)
LinearLR = wrap_scheduler(lr_scheduler.LinearLR)
MultiStepLR = wrap_scheduler(lr_scheduler.MultiStepLR)
MultiplicativeLR = wrap_scheduler(lr_scheduler.MultiplicativeLR)
OneCycleLR = wrap_scheduler(lr_scheduler.OneCycleLR)
PolynomialLR = wrap_scheduler(lr_scheduler.PolynomialLR)
ReduceLROnPlateau = wrap_scheduler(lr_scheduler.ReduceLROnPlateau)
SequentialLR = wrap_scheduler(lr_scheduler.SequentialLR)
StepLR = wrap_scheduler(lr_scheduler.StepLR)

if hasattr(torch.optim, "Muon"):  # since torch 2.9
    Muon = wrap_optimizer(torch.optim.Muon)
