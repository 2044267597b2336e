"""A guide of independent discrete sites, to be summed over."""

from __future__ import annotations

from typing import Any

import torch.distributions as torch_dist
from torch import Tensor

import ppl.distributions as dist
from ppl.distributions import constraints
from ppl.errors import SiteError
from ppl.nn import PyroParam
from ppl.primitives import sample

from .attributes import deep_getattr, deep_setattr
from .guide import AutoGuide, Site, full_size, refuse_sequential

# the families, with the event dimensions of their probabilities
_FAMILIES: dict[type, tuple[Any, constraints.Constraint, int]] = {
    torch_dist.Bernoulli: (dist.Bernoulli, constraints.unit_interval, 0),
    torch_dist.Categorical: (dist.Categorical, constraints.simplex, 1),
    torch_dist.OneHotCategorical: (dist.OneHotCategorical, constraints.simplex, 1),
}


class AutoDiscreteParallel(AutoGuide):
    """A distribution for each latent discrete site, of the family of its prior.

    Its sites are marked to be enumerated in parallel, for ``TraceEnum_ELBO``. The parameters are
    ``<site>_probs`` and start at the probabilities of the prior.

    Args:
        model: The model.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SiteError: In the first call, for a latent site that is not ``Bernoulli``, ``Categorical``
            or ``OneHotCategorical``.

    Example:
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("k", dist.Bernoulli(0.0))
        >>> AutoDiscreteParallel(model)()
        {'k': tensor(0.)}
    """

    def __init__(self, model: Any, *, create_plates: Any = None) -> None:
        super().__init__(model, create_plates=create_plates)

    def _check_site(self, name: str, site: Site) -> None:
        refuse_sequential(type(self).__name__, name, site)
        if _family(site["fn"]) is None:
            guide = type(self).__name__
            raise SiteError(
                f"site {name!r}: {guide} has distributions for Bernoulli, Categorical and "
                f"OneHotCategorical, each element in a plate of its own, but the prior is "
                f"{site['fn']}; hide the site with {guide}(poutine.block(model, hide=[{name!r}])), "
                "and add a guide for it"
            )

    def _setup_site(self, name: str, site: Site) -> None:
        family = _family(site["fn"])
        assert family is not None
        _, support, event_dim = family
        probs = _base(site["fn"]).probs.detach()
        probs = probs.expand(site["fn"].batch_shape + probs.shape[probs.dim() - event_dim :])
        probs = full_size(probs, site, event_dim)
        deep_setattr(self, f"{name}_probs", PyroParam(probs, support, event_dim))

    def _sample_site(self, name: str, site: Site) -> Tensor:
        family = _family(site["fn"])
        assert family is not None
        posterior = family[0](probs=deep_getattr(self, f"{name}_probs"))
        value: Tensor = sample(name, posterior, infer={"enumerate": "parallel"})
        return value


def _base(fn: Any) -> Any:
    """The distribution inside of masks and expansions."""
    while not isinstance(fn, torch_dist.Independent) and hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def _family(fn: Any) -> tuple[Any, constraints.Constraint, int] | None:
    base = _base(fn)
    return next((family for kind, family in _FAMILIES.items() if isinstance(base, kind)), None)
