"""The mode, and the normal with the curvature there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import warn
from ppl.nn import pyro_method
from ppl.ops.hessian import hessian

from .auto_continuous import AutoContinuous
from .auto_multivariate_normal import AutoMultivariateNormal
from .curvature import inverse_root


class AutoLaplaceApproximation(AutoContinuous):
    """A point for all latent sites, which :meth:`laplace_approximation` makes a normal of.

    Fitting finds the mode of the posterior on the unconstrained scale, where the volume of the
    transforms counts: not that of :class:`AutoDelta`.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        create_plates: See :class:`AutoGuide`.

    Example:
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(torch.zeros(2), 3.0).to_event(1))
        >>> guide = AutoLaplaceApproximation(model, lambda site: torch.zeros(2))
        >>> guide.laplace_approximation().get_posterior().stddev.detach()
        tensor([3., 3.])
    """

    loc: Tensor

    def _setup_latent(self, loc: Tensor) -> None:
        self.loc = torch.nn.Parameter(loc)

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return a point mass at ``loc``."""
        return dist.Delta(self.loc, event_dim=1)

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the image of the point, on the constrained scale."""
        self._latent_sites()
        self._read_store()
        return self._constrain(self.loc.detach())

    def laplace_approximation(self, *args: Any, **kwargs: Any) -> AutoMultivariateNormal:
        """Return a normal guide with the mode as mean and the inverse Hessian as covariance.

        The Hessian is that of the negative log posterior density on the unconstrained scale. It
        costs ``latent_dim`` times as much as a gradient. Where plates are subsampled, it is an
        estimate, with a warning.

        Args:
            args: The arguments of the model.
            kwargs: The same by name.

        Raises:
            NotFiniteError: If the Hessian is not positive definite.
        """
        self.setup(*args, **kwargs)
        with poutine.block():
            loc, precision = self._curvature(args, kwargs)
        tril = inverse_root(precision, self.component_names())
        guide = AutoMultivariateNormal(
            self.model, self.init_loc_fn, create_plates=self.create_plates
        )
        guide.setup(*args, **kwargs)
        guide.set_moments(loc, tril)
        return guide

    def _curvature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the mode and the Hessian of the negative log density there."""
        loc = self.get_posterior().v.detach().requires_grad_()
        at_loc = poutine.condition(self, data={f"_{self._pyro_name}_latent": loc})
        guide_trace = poutine.trace(at_loc).get_trace(*args, **kwargs)
        model = poutine.replay(self.model, trace=guide_trace)
        model_trace = poutine.trace(model).get_trace(*args, **kwargs)
        _warn_of_subsamples(model_trace)
        jacobian = sum(
            guide_trace.nodes[name]["fn"].log_density.sum() for name in self.layout.names
        )
        return loc.detach(), hessian(jacobian - model_trace.log_prob_sum(), loc).detach()


def _warn_of_subsamples(trace: poutine.Trace) -> None:
    frames = (f for site in trace.nodes.values() for f in site.get("cond_indep_stack", ()))
    parts = sorted({f.name for f in frames if f.full_size not in (None, f.size)})
    if parts:
        warn(
            f"the plates {parts} are subsampled, so the Hessian is that of an estimate of the "
            "density; pass arguments with which the model sees all data"
        )
