"""Torch optimizers for parameters that come into being while a program runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ppl.errors import FileFormatError, MissingSiteError
from ppl.params.files import read_plain, write_atomically
from ppl.primitives import get_param_store

from . import adagrad_rmsprop, clipped_adam, dct_adam
from .errors import OptimError
from .optim_objs import OptimObjs
from .options import Options, check_names, check_options, merge, options_for
from .param_group import ParamGroup, make_optimizer

_FORMAT, _VERSION = "ppl-optim", 1
_CLIP_NAMES = {"clip_norm", "clip_value"}


class PyroOptim:
    """A torch optimizer for the parameters of the store, whenever they appear.

    Parameters that share their options are updated together, by one torch optimizer and, where
    torch has one, by one fused kernel. A parameter that appears later joins with a fresh state.
    When the store replaces the tensor of a parameter, the old one is forgotten.

    Args:
        optim_constructor: A class of torch optimizers, or what else makes one from
            ``(params, **options)``. Its state must be kept by parameter, as all but LBFGS do.
        optim_args: The options, a dict; or a function from a parameter's name (``"net.weight"``) to
            such a dict; or a function of module name and parameter name.
        clip_args: How to clip the gradient of each parameter before its step: a dict with
            ``clip_norm`` (bound of the Euclidean norm) or ``clip_value`` (bound of each entry), or
            a function like that for ``optim_args``.

    Raises:
        OptimError: If the options are neither a dict nor a function, or clipping has another key.

    Example:
        >>> from ppl.primitives import clear_param_store, param
        >>> clear_param_store()
        >>> optimizer = PyroOptim(torch.optim.SGD, {"lr": 0.1})
        >>> leaf = param("loc", torch.tensor(1.0)).unconstrained()
        >>> leaf.grad = torch.tensor(2.0)
        >>> optimizer([leaf])
        >>> round(param("loc").item(), 4)
        0.8
    """

    def __init__(
        self,
        optim_constructor: Callable[..., Any],
        optim_args: Options,
        clip_args: Options | None = None,
    ) -> None:
        check_options(optim_args, "optim_args")
        self._constructor = optim_constructor
        self._options = optim_args
        self._clip_options: Options = {} if clip_args is None else clip_args
        check_options(self._clip_options, "clip_args")
        if isinstance(self._clip_options, Mapping):
            _check_clipping(self._clip_options)
        if isinstance(optim_args, Mapping):
            self._check_names(optim_args)
        self._start({})

    def _start(self, restored: Mapping[str, Mapping[str, Any]]) -> None:
        self._groups: list[ParamGroup] = []
        self._group_of: dict[Tensor, ParamGroup] = {}
        self._clipping: dict[Tensor, Mapping[str, Any]] = {}
        self._leaves: dict[str, Tensor] = {}
        self._restored = dict(restored)  # states of names not yet seen
        self._copied: dict[Tensor, str] = {}  # what the originals of copied parameters are called

    def __repr__(self) -> str:
        name = getattr(self._constructor, "__name__", repr(self._constructor))
        clipping = f", {self._clip_options!r}" if self._clip_options else ""
        return f"{name}({self._options!r}{clipping})"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the state by name: a copy continues with the parameters of its own store.

        Parameters of modules are kept themselves, too: a module that is copied together with its
        optimizer may get other names.
        """
        kept = ("_constructor", "_options", "_clip_options")
        modules = [(x, name) for name, x in self._leaves.items() if isinstance(x, nn.Parameter)]
        state = {name: getattr(self, name) for name in kept}
        return {**state, "state": self.get_state(), "modules": modules}

    def __setstate__(self, state: dict[str, Any]) -> None:
        restored, modules = state.pop("state"), state.pop("modules", ())
        self.__dict__.update(state)
        self._start(restored)
        self._copied = dict(modules)

    # as programs know it

    @property
    def pt_optim_constructor(self) -> Any:
        """The class of torch optimizers."""
        return self._constructor

    @pt_optim_constructor.setter
    def pt_optim_constructor(self, constructor: Callable[..., Any]) -> None:
        self._constructor = constructor

    @property
    def pt_optim_args(self) -> Any:
        """The options of the torch optimizer, for parameters that appear from now on."""
        return self._options

    @pt_optim_args.setter
    def pt_optim_args(self, options: Options) -> None:
        check_options(options, "pt_optim_args")
        self._options = options

    @property
    def optim_objs(self) -> OptimObjs:
        """The torch optimizer of each parameter, or its scheduler, to read and to change."""
        return OptimObjs(self)

    @optim_objs.setter
    def optim_objs(self, optimizers: Mapping[Tensor, Any]) -> None:
        given = dict(optimizers)
        self.optim_objs.clear()
        self.optim_objs.update(given)

    def __call__(self, params: Iterable[Tensor], *args: Any, **kwargs: Any) -> None:
        """Update parameters in place from their gradients.

        Args:
            params: Unconstrained leaf tensors; others that were seen before stay as they are.
            args: Further arguments of the torch optimizer's ``step``, such as a closure.
            kwargs: The same by name.

        Raises:
            OptimError: If a parameter without a name meets options that are a function of it.
        """
        chosen = dict.fromkeys(params)
        for param in chosen:
            if param not in self._group_of:
                self._adopt(param)
            _clip(param, self._clipping[param])
        with _without_gradient(param for param in self._group_of if param not in chosen):
            for group in dict.fromkeys(self._group_of[param] for param in chosen):
                self._step(group, chosen, args, kwargs)

    def get_state(self) -> dict[str, Any]:
        """Return a copy of the state by parameter name.

        Each value is the ``state_dict`` of a torch optimizer that has this parameter only. States
        that were restored for parameters not yet seen are included.

        Raises:
            MissingSiteError: If a parameter is optimized that was never in the store.
        """
        num_unnamed = len(self._group_of) - len(self._leaves)
        if num_unnamed > 0:
            raise MissingSiteError(
                f"{num_unnamed} optimized parameter(s) have no name to keep the state under; "
                "register them with ppl.param or ppl.module"
            )
        known = {name: self._group_of[leaf].get_state(leaf) for name, leaf in self._leaves.items()}
        return {**self._restored, **known}

    def set_state(self, state_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Forget everything and continue from a state that :meth:`get_state` returned.

        A parameter gets its state when it is next updated.
        """
        self._start(state_dict)

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write the state to a file of plain tensors and numbers, whole or not at all."""
        contents = {"format": _FORMAT, "version": _VERSION, "state": self.get_state()}
        write_atomically(contents, filename)

    def load(self, filename: str | os.PathLike[str], map_location: Any = None) -> None:
        """Continue from the state in a file; nothing in the file is executed.

        Args:
            filename: A file that :meth:`save` wrote.
            map_location: Where to put the tensors, as in ``torch.load``.

        Raises:
            FileFormatError: If the file is not one of ours; the optimizer is left as it was.
        """
        contents = read_plain(filename, map_location)
        if not isinstance(contents, dict) or contents.get("format") != _FORMAT:
            raise FileFormatError(f"{os.fspath(filename)!r} is not an optimizer file of ppl")
        if contents["version"] > _VERSION:
            raise FileFormatError(
                f"{os.fspath(filename)!r} has format version {contents['version']}, this ppl reads "
                f"up to {_VERSION}; upgrade ppl-optim"
            )
        self.set_state(contents["state"])

    def _step(
        self, group: ParamGroup, chosen: Mapping[Tensor, Any], args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Step a group; those of it that are not meant keep their options.

        A step may change options: learning rates decay by themselves.
        """
        idle = [param for param in group.params if param not in chosen]
        before = group.options if idle else {}
        group.optimizer.step(*args, **kwargs)
        if idle and group.options != before:
            for param in idle:
                self._group_of[param] = self._settle(self._taken_out(group, param, before))

    def _taken_out(
        self, group: ParamGroup, param: Tensor, options: Mapping[str, Any] = {}
    ) -> ParamGroup:
        """Return a group of one parameter of another, with its state and perhaps other options."""
        own = self._build(param, self._name(param))
        own.set_state(group.get_state(param))
        own.optimizer.param_groups[0].update(options)
        group.remove(param)
        return own

    def _isolate(self, param: Tensor) -> ParamGroup:
        """Return the group of a parameter, after making it one of this parameter alone."""
        group = self._group_of[param]
        if len(group.params) > 1:
            group = self._taken_out(group, param)
            self._groups.append(group)
            self._group_of[param] = group
        group.is_open = False
        return group

    def _replace(self, param: Tensor, optimizer: Any) -> None:
        """Give a parameter a torch optimizer or scheduler that a program has made for it."""
        if param in self._group_of:
            self._drop(param)
        scheduler = optimizer if is_scheduler(optimizer) else None
        group = ParamGroup(getattr(optimizer, "optimizer", optimizer), {}, scheduler)
        group.is_open = False
        self._groups.append(group)
        self._group_of[param], self._clipping[param] = group, {}
        name = self._name(param)
        if name is not None:
            self._leaves[name] = param

    def _name(self, param: Tensor) -> str | None:
        """The name in the store, or that of the original of a copy that is not there."""
        return get_param_store().param_name(param) or self._copied.get(param)

    def _drop(self, param: Tensor) -> None:
        self._forget(param)
        self._leaves = {name: leaf for name, leaf in self._leaves.items() if leaf is not param}

    def _check_names(self, options: Mapping[str, Any]) -> None:
        check_names(self._constructor, options)

    def _build(self, param: Tensor, name: str | None) -> ParamGroup:
        options = options_for(self._options, name, "optim_args")
        self._check_names(options)
        return ParamGroup(make_optimizer(self._constructor, param, options), options)

    def _adopt(self, param: Tensor) -> None:
        name = self._name(param)
        clipping = options_for(self._clip_options, name, "clip_args") if self._clip_options else {}
        _check_clipping(clipping)
        new = self._build(param, name)
        restored = self._copied.get(param, name)
        if restored in self._restored:
            _restore(new, restored, self._restored.pop(restored))
        if name in self._leaves:
            self._forget(self._leaves[name])
        self._group_of[param] = self._settle(new)
        self._clipping[param] = clipping
        if name is not None:
            self._leaves[name] = param

    def _settle(self, new: ParamGroup) -> ParamGroup:
        for group in self._groups:
            if group.accepts(new):
                group.join(new)
                return group
        self._groups.append(new)
        return new

    def _forget(self, param: Tensor) -> None:
        group = self._group_of.pop(param)
        group.remove(param)
        del self._clipping[param]
        if not group.params:
            self._groups.remove(group)


def AdagradRMSProp(optim_args: Options | None = None, **options: Any) -> PyroOptim:
    """Return a PyroOptim of :class:`ppl.optim.adagrad_rmsprop.AdagradRMSProp`."""
    return PyroOptim(adagrad_rmsprop.AdagradRMSProp, merge(optim_args, options))


def ClippedAdam(optim_args: Options | None = None, **options: Any) -> PyroOptim:
    """Return a PyroOptim of :class:`ppl.optim.clipped_adam.ClippedAdam`."""
    return PyroOptim(clipped_adam.ClippedAdam, merge(optim_args, options))


def DCTAdam(optim_args: Options | None = None, **options: Any) -> PyroOptim:
    """Return a PyroOptim of :class:`ppl.optim.dct_adam.DCTAdam`."""
    return PyroOptim(dct_adam.DCTAdam, merge(optim_args, options))


def is_scheduler(optimizer: object) -> bool:
    """Return whether an object is a learning rate scheduler of torch."""
    return isinstance(optimizer, torch.optim.lr_scheduler.LRScheduler)


def _restore(new: ParamGroup, name: str, state: Mapping[str, Any]) -> None:
    try:
        new.set_state(state)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise OptimError(
            f"the restored state of parameter {name!r} does not fit "
            f"{type(new.optimizer).__name__} ({error!r}); restore it into the kind of "
            "optimizer that saved it"
        ) from error


def _check_clipping(options: Mapping[str, Any]) -> None:
    if not set(options) <= _CLIP_NAMES:
        raise OptimError(
            f"clip_args may have the keys {sorted(_CLIP_NAMES)}, got {sorted(options)}"
        )


def _clip(param: Tensor, options: Mapping[str, Any]) -> None:
    if "clip_norm" in options:
        torch.nn.utils.clip_grad_norm_(param, options["clip_norm"])
    if "clip_value" in options:
        torch.nn.utils.clip_grad_value_(param, options["clip_value"])


@contextmanager
def _without_gradient(params: Iterable[Tensor]) -> Iterator[None]:
    """Hide gradients, so that a torch optimizer passes over these parameters."""
    hidden = [(param, param.grad) for param in params if param.grad is not None]
    for param, _ in hidden:
        param.grad = None
    try:
        yield
    finally:
        for param, gradient in hidden:
            param.grad = gradient
