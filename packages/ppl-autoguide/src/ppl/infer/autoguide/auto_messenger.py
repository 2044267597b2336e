"""Guides that run the model with a posterior in the place of each prior."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.infer.initialization import Strategy, init_to_feasible, init_to_mean
from ppl.nn.mixin import PyroModuleMeta
from ppl.poutine.block_messenger import BlockMessenger
from ppl.poutine.guide import GuideMessenger
from ppl.poutine.messenger import _BoundMessenger

from .guide import AutoGuide, Site

DEFAULT_START: Strategy = init_to_mean(fallback=init_to_feasible)


class AutoMessengerMeta(PyroModuleMeta, ABCMeta):
    """The class of guides that are modules and handlers of their model."""


class AutoMessenger(GuideMessenger, AutoGuide, metaclass=AutoMessengerMeta):
    """Base class of guides that run the model and replace the prior of each latent site.

    So a posterior may depend on the prior at hand, which depends on the values of earlier sites.
    Derived classes implement :meth:`get_posterior`, and may declare parameters of the sites of the
    first call in :meth:`_setup_site`.

    Args:
        model: The model.
        amortized_plates: The names of plates whose elements share parameters, such as one that is
            subsampled from many.
        init_loc_fn: A strategy for the values at which the model is run first.

    Raises:
        SiteError: If the model is a class.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> class Wider(AutoMessenger):
        ...     def get_posterior(self, name, prior):
        ...         return dist.Normal(prior.mean, 2 * prior.stddev)
        >>> sorted(Wider(lambda: sample("x", dist.Normal(0.0, 1.0)))())
        ['x']
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        amortized_plates: tuple[str, ...] = (),
        init_loc_fn: Strategy = DEFAULT_START,
    ) -> None:
        AutoGuide.__init__(self, model, init_loc_fn=init_loc_fn)
        self.trace: poutine.Trace = poutine.Trace()
        self.amortized_plates: tuple[str, ...] = tuple(amortized_plates)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Draw from the guide and return the values of latent and deterministic sites by name."""
        self.setup(*args, **kwargs)
        self._check_sizes(args, kwargs)
        with self._pyro_context.call():
            values = GuideMessenger.__call__(self, *args, **kwargs)
        self._refuse_hidden_subsamples()
        return values

    def _refuse_hidden_subsamples(self) -> None:
        """Refuse a subsample that block hides: the model could not be replayed with it."""
        sites = self.trace.iter_stochastic_nodes()
        frames = (frame for _, site in sites for frame in site["cond_indep_stack"])
        parts = {frame.name for frame in frames if frame.full_size not in (None, frame.size)}
        program: Any = self.model
        while parts and isinstance(program, _BoundMessenger):
            handler, program = program.messenger, program.fn
            if isinstance(handler, BlockMessenger):
                hidden = sorted(name for name in parts if handler._hides(_sample_message(name)))
                if hidden:
                    raise SiteError(
                        f"{type(self).__name__}: the plates {hidden} are subsampled, but block "
                        "hides which elements they have; expose the plates too: "
                        f"poutine.block(model, expose=[..., {', '.join(map(repr, hidden))}])"
                    )

    def _check_structure(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take any structure: each run says which sites there are."""

    def _check_site(self, name: str, site: Site) -> None:
        """Take all sites: it is for get_posterior to have a distribution."""

    def _plate_sizes(self) -> dict[str, int]:
        sizes = super()._plate_sizes()
        return {name: size for name, size in sizes.items() if name not in self.amortized_plates}


def _sample_message(name: str) -> dict[str, Any]:
    """What a handler sees of the subsample of a plate."""
    infer = {"is_auxiliary": True}
    return {"type": "sample", "name": name, "is_observed": False, "fn": None, "infer": infer}
