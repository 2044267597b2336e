"""``posterior``: inference in one line, by the name of a method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ppl.plugins as plugins
import ppl.poutine as poutine
from ppl.arguments import refuse_keywords
from ppl.errors import ArgumentTypeError, UnsupportedModelError
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import site_is_subsample

from .posterior import Posterior
from .sites import Model, look

GROUP = "ppl.methods"
OURS = {  # and who provides each
    "importance": "ppl-infer",
    "laplace": "ppl-autoguide",
    "nuts": "ppl-infer-mcmc",
    "smc": "ppl-infer",
    "svi": "ppl-infer-svi",
}


@dataclass(frozen=True)
class Method:
    """A way to a posterior, to be registered in the entry-point group ``ppl.methods``.

    Args:
        run: Called as ``run(model, args, kwargs, **options)``; returns a :class:`Posterior`.
        why_not: From a trace of a model to the reason why the method does not apply to it, empty if
            it does.
    """

    run: Callable[..., Posterior]
    why_not: Callable[[poutine.Trace], str] = lambda trace: ""

    @property
    def options(self) -> list[str]:
        """The names of the options, those of ``run`` after model, args and kwargs."""
        parameters = list(inspect.signature(self.run).parameters.values())[3:]
        return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]

    @property
    def takes_any_option(self) -> bool:
        """Whether ``run`` has ``**options``, which it checks itself."""
        parameters = inspect.signature(self.run).parameters.values()
        return any(p.kind is p.VAR_KEYWORD for p in parameters)


def posterior(
    model: Model,
    *data: Any,
    method: str | Method | Callable[..., Posterior] = "nuts",
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Posterior:
    """Return the posterior of a model given data.

    Args:
        model: The model.
        data: Its arguments.
        method: ``"nuts"``, ``"svi"``, ``"laplace"``, ``"importance"``, ``"smc"``, the name of a
            plugin in the group ``ppl.methods``, or a :class:`~ppl.infer.results.Method`.
        kwargs: Keyword arguments of the model.
        options: Those of the method, such as ``num_samples`` and ``num_chains`` of NUTS,
            ``num_steps``, ``guide`` and ``lr`` of SVI, ``num_particles`` of SMC.

    Raises:
        UnsupportedModelError: If the method does not apply to the model: it says why, and which
            methods do.
        UnknownPluginError: If nobody registers the name.
        SiteTypeError: If the method has no such option.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model(x):
        ...     mean = sample("mean", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(mean, 1.0), obs=x)
        >>> found = posterior(model, torch.tensor(1.0), method="importance", num_samples=10_000)
        >>> round(found.summary()["mean"]["mean"].item(), 1)
        0.5
    """
    require_program("model", model)
    kwargs = dict(kwargs or {})
    name, chosen = _method(method)
    if not chosen.takes_any_option:
        refuse_keywords(f"posterior(method={name!r})", options, [*chosen.options, "kwargs"])
    _refuse_unsuited(name, chosen, model, data, kwargs)
    found = chosen.run(model, data, kwargs, **options)
    if not isinstance(found, Posterior):
        raise ArgumentTypeError(
            f"method {name!r} must return a Posterior, such as Posterior.from_draws makes, got "
            f"{type(found).__name__}"
        )
    return found


def _method(method: Any) -> tuple[str, Method]:
    """Return the name of a method and the method itself, by its name or as it is."""
    if isinstance(method, str):
        loaded = plugins.load(GROUP, method, OURS.get(method))
        return method, loaded if isinstance(loaded, Method) else Method(loaded)  # type: ignore[arg-type]
    if isinstance(method, Method):
        return getattr(method.run, "__name__", "method"), method
    if callable(method):
        return getattr(method, "__name__", "method"), Method(method)
    raise ArgumentTypeError(
        f"method must be a name, one of {sorted({*OURS, *plugins.names(GROUP)})}, or a Method, got "
        f"{method!r}"
    )


def _refuse_unsuited(
    name: str, method: Method, model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        trace = look(model, args, kwargs)
    except Exception:  # at a point of the prior; a method may begin elsewhere, or say it better
        return
    reason = method.why_not(trace)
    if reason:
        suited = [other for other in sorted(plugins.names(GROUP)) if _suits(other, trace)]
        hint = " or ".join(f"method={other!r}" for other in suited)
        raise UnsupportedModelError(
            f"method={name!r} does not apply: {reason}" + (f"; use {hint}" if hint else "")
        )


def _suits(name: str, trace: poutine.Trace) -> bool:
    try:
        return not _method(name)[1].why_not(trace)
    except Exception:  # a plugin that fails breaks nothing but itself
        return False


# reasons that methods share


def why_not_continuous(trace: poutine.Trace, but_finite: bool = False) -> str:
    """Return why a method of continuous sites does not apply to a model.

    Args:
        trace: A trace of the model.
        but_finite: Whether the method sums out discrete sites of finite support.
    """
    latent = {n: s for n, s in trace.iter_stochastic_nodes() if not site_is_subsample(s)}
    if not latent:
        return "the model has no latent site: everything is observed"
    for name, site in latent.items():
        if not site["fn"].support.is_discrete:
            continue
        if not but_finite:
            return f"site {name!r} is discrete ({site['fn']}), and it needs continuous sites"
        if not site["fn"].has_enumerate_support:
            return f"site {name!r} is discrete, and {site['fn']} has too many values to sum out"
    return why_not_whole(trace)


def why_not_whole(trace: poutine.Trace) -> str:
    """Return why a method that needs all data does not apply to a model that subsamples."""
    plates = {n: s["fn"] for n, s in trace.nodes.items() if s["type"] == "sample"}
    for name, fn in plates.items():
        if getattr(fn, "is_subsample", False) and fn.subsample_size < fn.size:
            return (
                f"plate {name!r} subsamples, and it needs all data: let the model have all rows, "
                "or fit a guide by SVI and call guide.posterior(*data)"
            )
    return ""
