"""Learning rate schedules for parameters that come into being while a program runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .errors import OptimError
from .optim import PyroOptim
from .options import Options, check_names, options_for
from .param_group import ParamGroup, make_optimizer


class PyroLRScheduler(PyroOptim):
    """An optimizer whose learning rates follow a torch scheduler, one schedule for each group.

    A parameter that appears later starts at the beginning of its schedule.

    Args:
        scheduler_constructor: A class of torch schedulers, or what else makes one from
            ``(optimizer=optimizer, **options)``.
        optim_args: A dict with ``"optimizer"`` (a torch optimizer class), ``"optim_args"`` (its
            options, a dict or a function of the parameter's name) and the options of the scheduler;
            or a function of the parameter's name that returns such a dict. ``"schedulers"``, for
            ``SequentialLR`` and ``ChainedScheduler``, is a list of functions from an optimizer to a
            scheduler.
        clip_args: As for :class:`PyroOptim`.

    Raises:
        OptimError: If the options lack ``"optimizer"`` or ``"optim_args"``; for a function, when
            the parameter appears.

    Example:
        >>> import torch
        >>> from ppl.primitives import clear_param_store, param
        >>> clear_param_store()
        >>> scheduler = PyroLRScheduler(
        ...     torch.optim.lr_scheduler.ExponentialLR,
        ...     {"optimizer": torch.optim.SGD, "optim_args": {"lr": 1.0}, "gamma": 0.1},
        ... )
        >>> leaf = param("loc", torch.tensor(0.0)).unconstrained()
        >>> leaf.grad = torch.tensor(1.0)
        >>> scheduler([leaf]); scheduler.step(); scheduler([leaf])
        >>> round(leaf.item(), 4)
        -1.1
    """

    def __init__(
        self,
        scheduler_constructor: Callable[..., LRScheduler],
        optim_args: Options,
        clip_args: Options | None = None,
    ) -> None:
        super().__init__(scheduler_constructor, optim_args, clip_args)

    @property
    def pt_scheduler_constructor(self) -> Any:
        """The class of torch schedulers."""
        return self._constructor

    @property
    def pt_optim_constructor(self) -> Any:
        """The class of torch optimizers; None where the options are a function."""
        return self._options.get("optimizer") if isinstance(self._options, Mapping) else None

    @pt_optim_constructor.setter
    def pt_optim_constructor(self, constructor: Callable[..., Any]) -> None:
        self._options = {**self._plain_options(), "optimizer": constructor}

    @property
    def pt_optim_args(self) -> Any:
        """The options of the torch optimizer, for parameters that appear from now on."""
        return self._options["optim_args"] if isinstance(self._options, Mapping) else self._options

    @pt_optim_args.setter
    def pt_optim_args(self, options: Options) -> None:
        self._options = {**self._plain_options(), "optim_args": options}

    def _plain_options(self) -> Mapping[str, Any]:
        if not isinstance(self._options, Mapping):
            raise OptimError("the options are a function of the name; make a new scheduler instead")
        return self._options

    def _check_names(self, options: Mapping[str, Any]) -> None:
        _check_keys(options)
        inner = options["optim_args"]
        own = [name for name in options if name not in ("optimizer", "optim_args")]
        check_names(self._constructor, dict.fromkeys(own))
        if isinstance(inner, Mapping):
            check_names(options["optimizer"], inner)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Advance all schedules, after an epoch or whenever the schedule counts.

        Args:
            args: Arguments of the torch scheduler's ``step``, such as the loss for
                ``ReduceLROnPlateau``.
            kwargs: The same by name.
        """
        for group in self._groups:
            assert group.scheduler is not None
            group.scheduler.step(*args, **kwargs)

    def _build(self, param: Tensor, name: str | None) -> ParamGroup:
        options = options_for(self._options, name, "optim_args")
        self._check_names(options)
        constructor = options.pop("optimizer")
        inner = options_for(options.pop("optim_args"), name, "optim_args['optim_args']")
        optimizer = make_optimizer(constructor, param, inner)
        arguments = {"optimizer": constructor, "optim_args": inner, **options}
        return ParamGroup(optimizer, arguments, self._schedule(optimizer, options))

    def _schedule(self, optimizer: Optimizer, options: dict[str, Any]) -> LRScheduler:
        if "schedulers" in options:
            options = {**options, "schedulers": [make(optimizer) for make in options["schedulers"]]}
        # by name, since torch's constructors disagree on the place of the optimizer
        scheduler: LRScheduler = self._constructor(optimizer=optimizer, **options)
        return scheduler


def _check_keys(options: Mapping[str, Any]) -> None:
    missing = [key for key in ("optimizer", "optim_args") if key not in options]
    if missing:
        raise OptimError(
            f"the options of a scheduler lack {missing}; pass for example "
            "{'optimizer': torch.optim.Adam, 'optim_args': {'lr': 0.01}, 'gamma': 0.1}"
        )
