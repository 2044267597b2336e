"""The estimator that compares latent sites with their prior by a kernel, not by a divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError, ArgumentTypeError, MissingSiteError
from ppl.infer.arguments import nearest_site
from ppl.infer.elbo import ELBO
from ppl.infer.match import check_pair
from ppl.infer.util import check_fully_reparametrized, torch_backward
from ppl.poutine.util import prune_subsample_sites

Model = Callable[..., Any]
Kernel = Callable[[Tensor, Tensor], Tensor]


class Trace_MMD(ELBO):  # the public name is the field's
    """The loss ``-E log p(x | z) + mmd_scale * MMD^2(q(z), p(z))``, in the place of ``-ELBO``.

    The squared maximum mean discrepancy of two distributions is the mean of a kernel within each of
    them, less twice that between them. It is estimated for each latent site from draws of the guide
    and of the model, as many of each (Gretton et al. 2012, equation 5: never negative, and too
    large by about ``1 / num_particles``), so that the guide is pulled towards the prior on average
    over its inputs (Zhao et al. 2017, InfoVAE). The guide must be reparametrized.

    Args:
        kernel: A positive definite kernel: maps points ``(n, dim)`` and ``(m, dim)``, all values of
            a site in one run, to ``(n, m)``; or a dict of kernels by site.
        mmd_scale: The weight of the discrepancies, or a dict of weights by site.
        num_particles: How many draws make an estimate, 2 or more.
        max_plate_nesting: The largest number of nested vectorized plates; found by running the
            model once if not given.
        max_iarange_nesting: The old name of ``max_plate_nesting``.
        vectorize_particles: Draw all particles in one vectorized execution.
        strict_enumeration_warning: Warn about marks for enumeration, which have no effect here.
        ignore_jit_warnings: Without use.
        retain_graph: Whether ``backward`` keeps the graph.

    Raises:
        ArgumentTypeError: If a kernel is not callable.
        ArgumentError: If a weight is negative.
        MissingSiteError: At the first loss, if a dict lacks a site.
        SiteError: If a site of the guide is not reparametrized.
    """

    def __init__(
        self,
        kernel: Kernel | Mapping[str, Kernel],
        mmd_scale: float | Mapping[str, float] = 1,
        num_particles: int = 10,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: int | None = None,
        vectorize_particles: bool = True,
        strict_enumeration_warning: bool = True,
        ignore_jit_warnings: bool = False,
        retain_graph: bool | None = None,
    ) -> None:
        super().__init__(
            num_particles,
            max_plate_nesting,
            max_iarange_nesting,
            vectorize_particles,
            strict_enumeration_warning,
            ignore_jit_warnings,
            retain_graph=retain_graph,
        )
        if self.num_particles < 2:
            raise ArgumentError("num_particles must be at least 2: a draw has no discrepancy")
        self.kernel, self.mmd_scale = kernel, mmd_scale

    @property
    def kernel(self) -> Any:
        """The kernel, or kernels by site."""
        return self._kernel

    @kernel.setter
    def kernel(self, kernel: Any) -> None:
        for one in kernel.values() if isinstance(kernel, Mapping) else [kernel]:
            if not callable(one):
                raise ArgumentTypeError(
                    f"kernel must be a function of two sets of points, got {one!r}"
                )
        self._kernel = kernel

    @property
    def mmd_scale(self) -> Any:
        """The weight of the discrepancies, or weights by site."""
        return self._mmd_scale

    @mmd_scale.setter
    def mmd_scale(self, mmd_scale: Any) -> None:
        for one in mmd_scale.values() if isinstance(mmd_scale, Mapping) else [mmd_scale]:
            if not one >= 0:
                raise ArgumentError(f"mmd_scale must be 0 or more, got {one!r}")
        self._mmd_scale = mmd_scale

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of the loss whose gradient estimates its gradient."""
        runs = list(self._particles(model, guide, args, kwargs))
        loss = -sum(self._log_likelihood(replayed) for _, replayed, _ in runs) / len(runs)
        for name in runs[0][0].stochastic_nodes:
            drawn, expected = (
                torch.cat([self._points(run[i].nodes[name]["value"]) for run in runs])
                for i in (0, 2)
            )
            weight = _of_site(self._mmd_scale, name, "mmd_scale")
            kernel = _of_site(self._kernel, name, "kernel")
            loss = loss + weight * squared_mmd(drawn, expected, kernel)
        return torch.as_tensor(loss)

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, in nats."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss and add its gradient to ``.grad`` of the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        torch_backward(loss, self.retain_graph)
        return loss.item()

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[poutine.Trace, poutine.Trace, poutine.Trace]:
        """Return traces of the guide, of the model replayed at it, and of the model alone."""
        drawn = poutine.trace(guide).get_trace(*args, **kwargs)
        replayed = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(*args, **kwargs)
        check_pair(replayed, drawn, self._batch_dims(), self.strict_enumeration_warning)
        prior = poutine.trace(model).get_trace(*args, **kwargs)
        drawn = prune_subsample_sites(drawn)
        for name in drawn.stochastic_nodes:
            check_fully_reparametrized(drawn.nodes[name])
        return drawn, replayed, prior

    def _log_likelihood(self, replayed: poutine.Trace) -> Tensor:
        replayed.compute_log_prob(lambda name, site: site["is_observed"])
        terms = [replayed.nodes[name]["log_prob_sum"] for name in replayed.observation_nodes]
        return sum(terms, torch.zeros(()))

    def _points(self, value: Tensor) -> Tensor:
        """Return all values of a site in a run as one point, ``(particle, dim)``."""
        return value.reshape(self.num_particles if self.vectorize_particles else 1, -1)


def squared_mmd(one: Tensor, other: Tensor, kernel: Kernel) -> Tensor:
    """Return the squared maximum mean discrepancy of two sets of points, ``(n, dim)`` each."""
    within = kernel(one, one).mean() + kernel(other, other).mean()
    return within - 2 * kernel(one, other).mean()


def _of_site(given: Any, name: str, what: str) -> Any:
    if not isinstance(given, Mapping):
        return given
    if name not in given:
        raise MissingSiteError(
            f"{what} lacks the latent site {name!r}{nearest_site(name, given)}", site=name
        )
    return given[name]
