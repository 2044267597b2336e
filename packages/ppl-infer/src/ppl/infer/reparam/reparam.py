"""The base class of reparameterizers, and their errors."""

from __future__ import annotations

from typing import Any

import ppl.poutine as poutine
from ppl.errors import SiteError, warn
from ppl.poutine.reparam_messenger import ReparamMessage as ReparamMessage
from ppl.poutine.reparam_messenger import ReparamResult as ReparamResult
from ppl.primitives import sample


class UnsupportedDistributionError(SiteError, TypeError, AssertionError):
    """A reparameterizer is configured for a site whose distribution it cannot rewrite."""


class LatentOnlyError(SiteError, NotImplementedError):
    """A reparameterizer that works for latent sites only is configured for an observed one."""


class Reparam:
    """Base class of reparameterizers: rules that write a site in terms of auxiliary sites.

    A derived class implements :meth:`apply`.

    Example:
        >>> import torch
        >>> import ppl.distributions as dist
        >>> class Reflect(Reparam):
        ...     def apply(self, msg):
        ...         mirrored = dist.Normal(-msg["fn"].loc, msg["fn"].scale)
        ...         value = -sample(msg["name"] + "_mirrored", mirrored)
        ...         fn = dist.Delta(value).mask(False)
        ...         return {"fn": fn, "value": value, "is_observed": True}
        >>> def model():
        ...     return sample("x", dist.Normal(torch.tensor(3.0), 1.0))
        >>> trace = poutine.trace(poutine.reparam(model, config={"x": Reflect()})).get_trace()
        >>> trace.stochastic_nodes
        ['x_mirrored']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Return what becomes of a site: a dict with ``fn``, ``value`` and ``is_observed``.

        Args:
            msg: A dict with ``name``, ``fn``, ``value`` and ``is_observed``. A value that is not
                observed is the initial value for inference.
        """
        if type(self).__call__ is Reparam.__call__:
            raise NotImplementedError(f"{type(self).__name__} does not implement apply")
        warn(
            f"{type(self).__name__}.__call__ is called apply now: it takes and returns a dict with "
            "fn, value and is_observed",
            DeprecationWarning,
        )
        fn, value = self(msg["name"], msg["fn"], msg["value"] if msg["is_observed"] else None)
        return {"fn": fn, "value": value, "is_observed": value is not None}

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[Any, Any]:
        """Return ``(new_fn, value)`` for a site with observation ``obs``, or None.

        Args:
            name: The name of a sample site.
            fn: Its distribution.
            obs: The observed value, or None.
        """
        if type(self).apply is Reparam.apply:
            raise NotImplementedError(f"{type(self).__name__} does not implement apply")
        result = self.apply({"name": name, "fn": fn, "value": obs, "is_observed": obs is not None})
        return result["fn"], result["value"]

    def _refuse(self, msg: ReparamMessage, found: Any, needed: str) -> UnsupportedDistributionError:
        """Return the error about a distribution that this rule cannot rewrite."""
        return UnsupportedDistributionError(
            f"site {msg['name']!r}: {type(self).__name__} needs {needed}, got {found}",
            site=msg["name"],
        )

    def _require_latent(self, msg: ReparamMessage, cure: str) -> None:
        if msg["is_observed"]:
            raise LatentOnlyError(
                f"site {msg['name']!r}: {type(self).__name__} works for latent sites only, but "
                f"this one is observed; {cure}",
                site=msg["name"],
            )


def auxiliary(name: str, fn: Any, value: Any = None, is_observed: bool = False) -> Any:
    """Return the value of an auxiliary site: observed, started at a value, or drawn."""
    if value is None or is_observed:
        return sample(name, fn, obs=value)
    with poutine.substitute(data={name: value}):
        return sample(name, fn)
