"""The statements a model is written in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import torch
from torch import Tensor
from torch.distributions import constraints

from .arguments import as_tensor, check_name, integer, named, refuse_keywords, wrong_type
from .distribution import Delta, Distribution, Unit
from .distribution import wrap as wrap_distribution
from .errors import NotFiniteError, ShapeError, SiteError, SiteTypeError, warn
from .params import param_with_module_name
from .params.current import clear_param_store as clear_param_store
from .params.current import get_param_store as get_param_store
from .params.current import param_store as param_store
from .params.param_store import Init
from .poutine.hints import check_hints
from .poutine.plate_messenger import PlateMessenger as plate
from .poutine.runtime import am_i_wrapped, apply_stack, new_message
from .poutine.util import as_value

T = TypeVar("T")
_CONSTRAINT = "an instance of Constraint, such as constraints.positive"

__all__ = [
    "barrier",
    "clear_param_store",
    "deterministic",
    "factor",
    "get_param_store",
    "module",
    "param",
    "param_store",
    "plate",
    "sample",
    "subsample",
]


@overload
def sample(
    name: str,
    fn: Distribution | torch.distributions.Distribution,
    *args: Any,
    obs: Any = None,
    obs_mask: Any = None,
    infer: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Tensor: ...


@overload
def sample(
    name: str,
    fn: Callable[..., T],
    *args: Any,
    obs: Any = None,
    obs_mask: Any = None,
    infer: dict[str, Any] | None = None,
    **kwargs: Any,
) -> T: ...


@named("sample")
def sample(
    name: str,
    fn: Any,
    *args: Any,
    obs: Any = None,
    obs_mask: Any = None,
    infer: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Return a value of the stochastic function ``fn``, as the enclosing handlers decide.

    Args:
        name: The name of the site, unique within one execution.
        fn: A distribution, or any callable of ``args`` and ``kwargs``.
        obs: An observation: the site has this value and its density conditions the model. A tensor,
            a number, a list or an array, of shape ``(*batch_shape, *event_shape)``.
        obs_mask: Where ``obs`` counts, a boolean tensor that broadcasts with the batch shape.
            Elsewhere the value is drawn, at the latent site ``name + "_unobserved"``.
        infer: Hints for the inference algorithm.

    Raises:
        SiteError: If ``infer`` has an unknown value for a known hint.
        SiteTypeError: If ``fn`` is no stochastic function (its class, say), or another argument is
            of the wrong kind.

    Example:
        >>> sample("x", Delta(torch.tensor(2.0)))
        tensor(2.)
    """
    if not (callable(fn) and isinstance(name, str)) or isinstance(fn, type):
        fn = _stochastic_function(name, fn)
    if kwargs:
        _check_keywords(name, fn, kwargs)
    if infer:
        infer = _as_hints(name, infer)
    if obs_mask is not None:
        return _sample_partly_observed(name, fn, args, kwargs, obs, obs_mask, infer)
    if obs is not None:
        obs = as_value(obs, fn, name)
    if not am_i_wrapped():
        if obs is not None:
            _warn_unless_internal(name, infer or {})
            return obs
        return fn(*args, **kwargs)
    msg = new_message("sample", name, fn, args, kwargs)
    msg["value"], msg["is_observed"], msg["infer"] = obs, obs is not None, infer or {}
    return apply_stack(msg)["value"]


def _sample_partly_observed(
    name: str,
    fn: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    obs: Any,
    obs_mask: Any,
    infer: dict[str, Any] | None,
) -> Tensor:
    """Observe where the mask holds, draw elsewhere; a guide draws ``name + "_unobserved"``.

    Each part is a site whose density counts where it is used; together they are the deterministic
    site ``name``. Observations that do not count may be nan. Without ``obs`` both parts are drawn.
    """
    mask = as_tensor(obs_mask, f"site {name!r}: obs_mask", name)
    if mask.dtype is not torch.bool:
        raise SiteError(
            f"site {name!r}: obs_mask must have dtype torch.bool, got {mask.dtype}; say where obs "
            "is observed, as in ~obs.isnan()"
        )
    one = sample(f"{name}_observed", fn.mask(mask), *args, obs=obs, infer=infer, **kwargs)
    filler = {**(infer or {}), "_is_filler": True}  # nobody sees its values where the mask holds
    other = sample(f"{name}_unobserved", fn.mask(~mask), *args, infer=filler, **kwargs)
    mask = mask.reshape(mask.shape + (1,) * fn.event_dim)
    return deterministic(name, torch.where(mask, one, other), event_dim=fn.event_dim)


def _warn_unless_internal(name: str, infer: dict[str, Any]) -> None:
    """Warn about an observation outside inference, unless a factor or deterministic made it."""
    if not (infer.get("is_auxiliary") or infer.get("_deterministic")):
        warn(
            f"site {name!r} is observed outside inference; the observation has no effect",
            RuntimeWarning,
        )


def _stochastic_function(name: str, fn: Any) -> Any:
    check_name("sample", name)
    if isinstance(fn, torch.distributions.Distribution):
        return wrap_distribution(fn)
    if not callable(fn):
        raise wrong_type(f"site {name!r}", "a distribution or a callable", fn, name)
    if hasattr(fn, "log_prob"):
        raise SiteTypeError(
            f"site {name!r}: {fn.__name__} is the class; write {fn.__name__}(...) with its "
            "parameters",
            site=name,
        )
    return fn


def _check_keywords(name: str, fn: Any, kwargs: dict[str, Any]) -> None:
    """Refuse keywords that a distribution does not take: they were meant for ``sample``."""
    if not hasattr(fn, "log_prob"):
        return
    taken = inspect.signature(fn.sample).parameters
    if not any(argument.kind is argument.VAR_KEYWORD for argument in taken.values()):
        refuse_keywords(f"sample {name!r}", kwargs, ["obs", "obs_mask", "infer", *taken], name)


def _as_hints(name: str, infer: Any) -> dict[str, Any]:
    if isinstance(infer, Mapping):
        check_hints(name, infer)
        return dict(infer)
    raise wrong_type(
        f"site {name!r}: infer", "a dict such as {'enumerate': 'parallel'}", infer, name
    )


@named("param")
def param(
    name: str,
    init_tensor: Init | None = None,
    constraint: constraints.Constraint = constraints.real,
    event_dim: int | None = None,
) -> Tensor:
    """Return the (constrained) value of a learnable parameter, a tensor of the parameter store.

    Args:
        name: The name in the store.
        init_tensor: The initial value, or a function that returns it; used only the first time.
        constraint: What the value must fulfil; gradients flow to an unconstrained tensor.
        event_dim: The number of rightmost dimensions that plates leave alone; those to their left
            are subsampled by enclosing plates that subsample.

    Raises:
        MissingSiteError: If the name is new and there is no initial value.
        SiteTypeError: If an argument is of the wrong kind.

    Example:
        >>> clear_param_store()
        >>> param("w", torch.tensor(1.0)).item(), param("w").item()
        (1.0, 1.0)
    """
    if not (isinstance(name, str) and isinstance(constraint, constraints.Constraint)):
        check_name("param", name)
        raise wrong_type(f"parameter {name!r}: constraint", _CONSTRAINT, constraint, name)
    if event_dim is not None:
        event_dim = integer(f"parameter {name!r}: event_dim", event_dim, name)
    if event_dim is not None and constraint.event_dim < event_dim:
        constraint = constraints.independent(constraint, event_dim - constraint.event_dim)
    if not am_i_wrapped():
        return _get_param(name, init_tensor, constraint, event_dim)
    kwargs = {"constraint": constraint, "event_dim": event_dim}
    msg = new_message("param", name, _get_param, (name, init_tensor), kwargs)
    value: Tensor = apply_stack(msg)["value"]
    return value


def _get_param(*args: Any, **kwargs: Any) -> Tensor:  # a function, so that traces can be pickled
    return get_param_store().get_param(*args, **kwargs)


@named("factor")
def factor(name: str, log_factor: Tensor | float, *, has_rsample: bool | None = None) -> None:
    """Multiply the density of the model by a factor.

    Args:
        name: The name of the site.
        log_factor: The log of the factor, in nats; its shape is a batch shape.
        has_rsample: In a guide, whether the factor depends on samples in a differentiable way.

    Raises:
        NotFiniteError: If the factor is nan.
        SiteTypeError: If it is no number and no tensor.
    """
    check_name("factor", name)
    log_factor = as_tensor(log_factor, f"site {name!r}: the log factor", name)
    try:
        fn = Unit(log_factor, has_rsample=has_rsample)
    except ValueError as error:
        raise NotFiniteError(
            f"site {name!r}: the log factor is nan; look for a log of a negative number, or "
            "infinity minus infinity",
            site=name,
        ) from error
    sample(name, fn, obs=fn.sample(), infer={"is_auxiliary": True})


@named("deterministic")
def deterministic(name: str, value: Tensor | float, event_dim: int | None = None) -> Tensor:
    """Record a value in the trace without any effect on the density.

    Args:
        name: The name of the site.
        value: The value; inference returns it beside the samples.
        event_dim: The number of event dimensions; default: all of them.

    Raises:
        SiteTypeError: If the value is no number and no tensor.
    """
    check_name("deterministic", name)
    value = as_tensor(value, f"site {name!r}: the value", name)
    event_dim = value.dim() if event_dim is None else event_dim
    event_dim = integer(f"site {name!r}: event_dim", event_dim, name)
    fn = Delta(value, event_dim=event_dim).mask(False)
    recorded: Tensor = sample(name, fn, obs=value, infer={"_deterministic": True})
    return recorded


@named("subsample")
def subsample(data: Tensor, event_dim: int) -> Tensor:
    """Return the part of a full-size tensor that the enclosing plates have chosen.

    Args:
        data: Shape ``(*plates, *event)``, with full-size plates.
        event_dim: The number of event dimensions.

    Example:
        >>> with plate("data", 10, subsample=torch.tensor([2, 5])):
        ...     subsample(torch.arange(10), event_dim=0)
        tensor([2, 5])
    """
    data = as_tensor(data, "the data of subsample")
    event_dim = integer("subsample: event_dim", event_dim)
    if event_dim < 0 or event_dim > data.dim():
        raise ShapeError(
            f"subsample: data of shape {tuple(data.shape)} has no event_dim={event_dim}"
        )
    return _identity("subsample", data, event_dim=event_dim)


@named("barrier")
def barrier(data: Tensor) -> Tensor:
    """Return ``data``, and mark a place where lazy values must be made concrete."""
    return _identity("barrier", data)


def _identity(type: str, data: Tensor, **kwargs: Any) -> Tensor:
    """A message whose value is its argument."""
    if not am_i_wrapped():
        return data
    msg = new_message(type, None, lambda data, **_: data, (data,), kwargs)
    value: Tensor = apply_stack(msg)["value"]
    return value


@named("module")
def module(
    name: str, nn_module: torch.nn.Module, update_module_params: bool = False
) -> torch.nn.Module:
    """Register the parameters of a module with the store, as ``name$$$parameter``.

    Args:
        name: A name for the module.
        nn_module: An instance.
        update_module_params: Whether parameters that the store already has (from a file, say)
            are put into the module; otherwise the module keeps its own values. Those that are
            frozen (``requires_grad=False``) are left out, with a warning.

    Returns:
        The module.
    """
    check_name("module", name)
    if not isinstance(nn_module, torch.nn.Module):
        raise wrong_type(f"module {name!r}", "an instance of torch.nn.Module", nn_module, name)
    for parameter, value in list(nn_module.named_parameters()):
        if not value.requires_grad:
            warn(f"module {name!r}: parameter {parameter!r} is frozen and stays out of the store")
            continue
        stored_name = param_with_module_name(name, parameter)
        stored = param(stored_name, value)
        if update_module_params and stored is not value:
            _set_parameter(nn_module, parameter, _as_parameter(stored_name, stored))
    return nn_module


def _as_parameter(name: str, stored: Tensor) -> Tensor:
    """Return a leaf of the store, such as a file leaves there, after making it an nn.Parameter."""
    store = get_param_store()
    if store.param_name(stored) != name or isinstance(stored, torch.nn.Parameter):
        return stored
    store[name] = torch.nn.Parameter(stored.detach())
    return store[name]


def _set_parameter(nn_module: torch.nn.Module, path: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter; a sampled one becomes a plain attribute."""
    owner_path, _, attribute = path.rpartition(".")
    owner = nn_module.get_submodule(owner_path)
    if isinstance(value, torch.nn.Parameter):
        setattr(owner, attribute, value)
    else:
        del owner._parameters[attribute]
        owner.__dict__[attribute] = value
