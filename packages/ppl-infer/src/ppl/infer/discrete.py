"""Draws of discrete sites from their posterior, around any program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ppl.plugins as plugins
import ppl.poutine as poutine
from ppl.errors import SiteError, warn
from ppl.poutine.messenger import Messenger

from .backward_sampling import BackwardSampleMessenger
from .util import max_plate_nesting_of

Model = Callable[..., Any]


def infer_discrete(
    fn: Model | None = None,
    first_available_dim: int | None = None,
    temperature: int = 1,
    *,
    strict_enumeration_warning: bool = True,
) -> Any:
    """Return a program that draws its enumerated sites from their posterior; also a decorator.

    Sites marked ``infer={"enumerate": "parallel"}``, by :func:`~ppl.infer.enum.config_enumerate`
    for instance, get values from their joint posterior given all observations, inside plates and
    along ``markov`` chains. Other latent sites are drawn as ever, and the posterior is that given
    them. Each call runs the program twice: first with all values at once, for which handlers
    further out are in force but record nothing, then at the draw.

    Args:
        fn: The program.
        first_available_dim: The rightmost dimension for enumeration, left of all plates, those
            around the call too; found by one more run if not given.
        temperature: 1 for a draw, 0 for the values at the joint maximum (the Viterbi algorithm).
        strict_enumeration_warning: Whether to warn if there is no site to enumerate.

    Raises:
        SiteError: If the temperature is neither 0 nor 1.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.infer import config_enumerate
        >>> from ppl.primitives import sample
        >>> @infer_discrete(temperature=0)
        ... @config_enumerate
        ... def model(x):
        ...     z = sample("z", dist.Categorical(torch.tensor([0.9, 0.1])))
        ...     sample("x", dist.Normal(10.0 * z, 1.0), obs=x)
        ...     return z
        >>> model(torch.tensor(0.0)), model(torch.tensor(9.0))
        (tensor(0), tensor(1))
    """
    if temperature not in (0, 1):
        raise SiteError(f"the temperature of infer_discrete must be 0 or 1, got {temperature!r}")
    options = (first_available_dim, temperature, strict_enumeration_warning)
    if fn is None:
        return partial(_bound, options)
    return _bound(options, fn)


def _bound(options: tuple[Any, ...], fn: Model) -> Model:
    return partial(_run, fn, *options)


def _run(
    fn: Model,
    first_available_dim: int | None,
    temperature: int,
    strict_enumeration_warning: bool,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    with _Unrecorded():
        if first_available_dim is None:
            single = poutine.trace(fn).get_trace(*args, **kwargs)
            first_available_dim = -1 - max_plate_nesting_of(single)
        enumerated = poutine.enum(fn, first_available_dim=first_available_dim)
        trace = poutine.trace(enumerated).get_trace(*args, **kwargs)
    if strict_enumeration_warning and not _has_marks(trace):
        warn("infer_discrete found no site to enumerate; mark some by config_enumerate")
    with BackwardSampleMessenger(trace, temperature=temperature):
        return fn(*args, **kwargs)


def _has_marks(trace: poutine.Trace) -> bool:
    return any(
        site["infer"].get("_enumerate_dim") is not None for _, site in trace.iter_stochastic_nodes()
    )


class _Unrecorded(Messenger):
    """Keeps traces further out from recording sites, and leaves all else to them.

    Programs whose log density nobody wants are masked as a whole: that is not meant for this one.
    """

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        msg["_unrecorded"], msg["mask"] = msg["mask"], None

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        inner, outer = msg.pop("_unrecorded"), msg["mask"]
        is_meant = outer is not None and outer is not False
        if inner is None or not is_meant:
            msg["mask"] = outer if is_meant else inner
        else:
            msg["mask"] = outer & inner


def __getattr__(name: str) -> object:
    if name == "TraceEnumSample_ELBO":
        return plugins.load("ppl.elbos", name, provider="ppl-infer-svi")
    return plugins.misspelt(__name__)(name)
