"""``PyroModule``: a module of torch whose attributes are statements of a model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.distributions import constraints

from ..distribution import wrap as wrap_distribution
from ..errors import SiteError
from ..primitives import deterministic, sample
from .context import Context
from .context import pyro_method as pyro_method
from .declarations import PyroParam as PyroParam
from .declarations import PyroSample as PyroSample
from .declarations import is_distribution
from .mixin import PyroModuleMeta
from .sharing import constrain, forget_params, new_leaf, read_param
from .tree import SUFFIX, Slot, join, make_root, place, public_name, slots

Self = TypeVar("Self", bound="PyroModule")


class _Kind(NamedTuple):
    """What the statement of a parameter says beside its name."""

    constraint: constraints.Constraint
    event_dim: int | None


_PLAIN = _Kind(constraints.real, None)  # of an nn.Parameter


class PyroModule(nn.Module, metaclass=PyroModuleMeta):
    """An ``nn.Module`` whose parameters and random attributes take part in a model.

    Within a call (of the module, or of a :func:`pyro_method`) reading an attribute is a statement:
    an ``nn.Parameter`` or :class:`PyroParam` is a ``param``, a :class:`PyroSample` a ``sample``,
    made once a call; a plain ``nn.Module`` registers its parameters, as ``module`` does. The name
    of the statement is the path of the attribute: ``encoder.scale``, or ``root.encoder.scale`` if
    the root module is called ``root``; ``encoder.layer$$$weight`` for a parameter of a plain
    module. Outside of calls attributes are plain values and the parameter store is left alone.

    In a call, module and store agree on a parameter by its name: if the store has a value, that
    one. So a new module goes on where one of its name has ended, or with what was loaded; but two
    of one name side by side are refused, and a copy keeps to its own values. Replacing or deleting
    an attribute removes its value from the store too. A frozen parameter (``requires_grad=False``)
    is a constant.

    ``PyroModule[nn.Linear]`` is the class ``nn.Linear`` with these abilities, and is the same as
    ``class PyroLinear(nn.Linear, PyroModule)``. Submodules are not converted, see
    :func:`to_pyro_module_`. A container whose members come and go should be one of
    ``PyroModule[nn.ModuleList]``, ``[nn.Sequential]`` or ``[nn.ModuleDict]``: a plain one does not
    tell when a name passes on to another member.

    Args:
        name: The name of a root module, the first part of all names; submodules ignore it.  Roots
            of one name that was given share their parameters, those without a name must not meet.

    Example:
        >>> import torch
        >>> import ppl.poutine as poutine
        >>> from ppl.distribution import Delta
        >>> layer = PyroModule[nn.Linear](1, 1)
        >>> layer.weight = PyroSample(Delta(torch.ones(1, 1), event_dim=2))
        >>> layer.bias = PyroParam(torch.ones(1), constraints.positive)
        >>> trace = poutine.trace(layer).get_trace(torch.ones(1))
        >>> trace.stochastic_nodes, trace.param_nodes, trace.nodes["_RETURN"]["value"].tolist()
        (['weight'], ['bias'], [2.0])
    """

    _pyro_name: str
    _pyro_context: Context
    _pyro_params: dict[str, _Kind]
    _pyro_samples: dict[str, Any]

    def __new__(cls: type[Self], *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        make_root(self)  # here, since mixed-in classes need not call super().__init__
        return self

    def __init__(self, name: str = "") -> None:
        self.__dict__["_pyro_name"] = name
        self._pyro_context.is_named = bool(name)
        super().__init__()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what ``forward`` returns; the attributes it reads are statements."""
        with self._pyro_context.call():
            return super().__call__(*args, **kwargs)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a submodule, whose statements carry ``name`` from now on."""
        replaced = self._slots(name)
        super().add_module(name, module)
        forget_params(replaced)
        self._adopt(name, module)

    def named_pyro_params(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Iterate over the paths and constrained values of all parameters.

        Args:
            prefix: The first part of all paths.
            recurse: Whether to include the parameters of submodules.
        """
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for key, leaf in module._parameters.items():
                if leaf is not None:
                    name = public_name(module, key)
                    yield join(path, name), getattr(module, name)

    def extra_repr(self) -> str:
        """Say which attributes are parameters or random, and of which constraint or prior."""
        params = {n: f"PyroParam({kind.constraint})" for n, kind in self._pyro_params.items()}
        samples = {n: f"PyroSample({_name_of(fn)})" for n, fn in self._pyro_samples.items()}
        own = super().extra_repr()
        lines = [f"({name}): {what}" for name, what in {**params, **samples}.items()]
        return "\n".join([own, *lines] if own else lines)

    # reading

    def __getattr__(self, name: str) -> Any:
        if name in self._pyro_params:
            return self._read_param(name, name + SUFFIX)
        if name in self._pyro_samples:
            return self._read_sample(name, self._pyro_samples[name])
        value: Any = super().__getattr__(name)
        if value is not None and self._pyro_context.active:
            if name in self._parameters:
                return self._read_param(name, name)
            if name in self._modules:
                self._take_in(value, self._path(name))
        return value

    def _read_param(self, name: str, key: str) -> Tensor:
        kind = self._pyro_params.get(name, _PLAIN)
        if not self._pyro_context.active:
            return constrain(self._parameters[key], kind.constraint)  # type: ignore[arg-type]
        path, context = self._path(name), self._pyro_context
        read = partial(read_param, path, self, key, context, *kind)
        if kind.event_dim is not None:  # the value depends on the plates around
            return read()
        return self._pyro_context.once(path, read)

    def _read_sample(self, name: str, prior: Any) -> Any:
        path = self._path(name)
        if not self._pyro_context.active:
            fn = self._prior(path, prior)
            return fn if isinstance(fn, Tensor) else fn()
        return self._pyro_context.once(path, lambda: _sample(path, self._prior(path, prior)))

    def _prior(self, path: str, prior: Any) -> Any:
        """The distribution of a random attribute, or its value if that is not random."""
        fn = prior if is_distribution(prior) else prior(self)
        if isinstance(fn, Tensor):
            return fn
        if is_distribution(fn):
            return wrap_distribution(fn)
        raise SiteError(
            f"site {path!r}: the prior must return a distribution or a tensor, got {fn!r}"
        )

    def _read_declared_param(self, name: str, declared: PyroParam) -> Any:
        """Read an attribute that the class declares, after making it at the first time."""
        if not self._has(name):
            init_value = declared.init_value
            bound = partial(init_value, self) if callable(init_value) else init_value
            setattr(self, name, PyroParam(bound, declared.constraint, declared.event_dim))
        return self.__getattr__(name)

    def _read_declared_sample(self, name: str, declared: PyroSample) -> Any:
        if self._has(name):
            return self.__getattr__(name)
        return self._read_sample(name, declared.prior)

    def _take_in(self, module: nn.Module, path: str) -> None:
        """Make sure that a submodule knows its place: it may have been converted since it came."""
        if not isinstance(module, PyroModule):
            self._register(module, path)
        elif module._pyro_context is not self._pyro_context:
            place(module, path, self._pyro_context)

    def _register(self, module: nn.Module, path: str) -> None:
        """Make the ``param`` statements of a plain module."""
        place(module, path, self._pyro_context)  # it may have got new members
        for site, owner, key in slots(module, path):
            if not isinstance(owner, PyroModule):
                context = self._pyro_context
                context.once(site, partial(read_param, site, owner, key, context))

    def _path(self, name: str) -> str:
        return join(self._pyro_name, name)

    # writing

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, PyroParam):
            self._set_param(name, value)
        elif isinstance(value, PyroSample):
            self._discard(name)
            self._pyro_samples[name] = value.prior
        elif name in self._pyro_params and _is_value(value):
            self._set_value(name, value)
        else:
            self._assign(name, value)

    def _set_param(self, name: str, declared: PyroParam) -> None:
        init_value, constraint, event_dim = declared
        if event_dim is not None and constraint.event_dim < event_dim:
            constraint = constraints.independent(constraint, event_dim - constraint.event_dim)
        value = init_value() if callable(init_value) else init_value
        if value is None:
            raise SiteError(f"parameter {self._path(name)!r}: PyroParam needs an initial value")
        leaf = new_leaf(self._path(name), value, constraint)
        self._discard(name)
        super().__setattr__(name + SUFFIX, leaf)
        self._pyro_params[name] = _Kind(constraint, event_dim)

    def _set_value(self, name: str, value: Tensor) -> None:
        """Assign a constrained value, in place: the store and optimizers keep the leaf."""
        leaf: Any = self._parameters[name + SUFFIX]
        leaf.data = new_leaf(self._path(name), value, self._pyro_params[name].constraint).data

    def _assign(self, name: str, value: Any) -> None:
        if name in self._pyro_params or name in self._pyro_samples:
            delattr(self, name)
        replaced = self._slots(name)
        super().__setattr__(name, value)
        forget_params(replaced)  # now that torch has not refused
        self._adopt(name, value)

    def _adopt(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module):
            place(value, self._path(name), self._pyro_context)

    def __delattr__(self, name: str) -> None:
        if name in self._pyro_samples:
            del self._pyro_samples[name]
        elif name in self._pyro_params:
            del self._pyro_params[name]
            super().__delattr__(name + SUFFIX)
            forget_params([Slot(self._path(name), self, name + SUFFIX)])
        else:
            forget_params(self._slots(name))
            super().__delattr__(name)

    def _slots(self, name: str) -> list[Slot]:
        """The places of a parameter, or of those of a submodule."""
        if name in self._torch_state("_parameters"):
            return [Slot(self._path(name), self, name)]
        module = self._torch_state("_modules").get(name)
        return [] if module is None else list(slots(module, self._path(name)))

    def _torch_state(self, kind: str) -> dict[str, Any]:
        """The parameters, buffers or modules; empty before nn.Module.__init__ has run."""
        state: dict[str, Any] = self.__dict__.get(kind, {})
        return state

    def _has(self, name: str) -> bool:
        kinds = map(self._torch_state, ("_parameters", "_buffers", "_modules"))
        owned = (self._pyro_params, self._pyro_samples, self.__dict__, *kinds)
        return any(name in names for names in owned)

    def _discard(self, name: str) -> None:
        if self._has(name):
            delattr(self, name)

    # files

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Load parameters, after making those that the class declares and nobody has read yet."""
        for cls in type(self).__mro__:
            for name, declared in vars(cls).items():
                if isinstance(declared, PyroParam) and prefix + name + SUFFIX in state_dict:
                    getattr(self, name)
        super()._load_from_state_dict(state_dict, prefix, *args)


if TYPE_CHECKING:

    class PyroModuleList(nn.ModuleList, PyroModule):
        """An ``nn.ModuleList`` whose members are submodules with the names ``0``, ``1``, ..."""
else:
    PyroModuleList = PyroModule[nn.ModuleList]


def clear(mod: PyroModule) -> None:
    """Remove all parameters and submodules of a module, and their values in the parameter store.

    Args:
        mod: The module.
    """
    leaves = [public_name(mod, key) for key in mod._parameters]
    for name in [*leaves, *mod._modules]:
        delattr(mod, name)


def to_pyro_module_(m: nn.Module, recurse: bool = True) -> None:
    """Convert a module in place: its class ``C`` becomes ``PyroModule[C]``.

    Args:
        m: The module.
        recurse: Whether to convert its submodules too.

    Raises:
        SiteError: If ``m`` is not a module.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.Tanh())
        >>> to_pyro_module_(net)
        >>> isinstance(net[0], PyroModule[nn.Linear])
        True

    What belongs to a PyroModule is named by its place there when its owner next reads it.
    """
    if not isinstance(m, nn.Module):
        raise SiteError(f"to_pyro_module_ converts an instance of torch.nn.Module, got {m!r}")
    for module in list(m.modules()) if recurse else [m]:
        if not isinstance(module, PyroModule):
            module.__class__ = PyroModule[type(module)]
            make_root(module)
    root: Any = m
    place(m, root._pyro_name, root._pyro_context)


def _name_of(prior: Any) -> str:
    name = getattr(prior, "__name__", None)
    return name if isinstance(name, str) else repr(prior)


def _is_value(value: Any) -> bool:
    """Whether an assignment to a PyroParam gives it a value rather than replaces it."""
    return isinstance(value, (Tensor, float, int)) and not isinstance(value, nn.Parameter)


def _sample(path: str, fn: Any) -> Any:
    return deterministic(path, fn) if isinstance(fn, Tensor) else sample(path, fn)
