"""Marginal distributions of a posterior that is a bag of traces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from ppl.distributions import Empirical
from ppl.errors import ShapeError, SiteError

from .trace_posterior import TracePosterior


class EmpiricalMarginal(Empirical):
    """The marginal distribution of a site, or of several of one shape, in a posterior.

    Called without arguments it returns a draw; all draws come from the same weighted values.

    Args:
        trace_posterior: A posterior after its ``run``. With several chains these are a batch
            dimension.
        sites: A site; a list of sites, which are stacked in front of the event dimensions; by
            default what the program returned.
        validate_args: Whether to check values; the global default if None.

    Raises:
        NotRunError: If the posterior has not been run.
        ShapeError: If sites have different shapes, or one has another in some trace.
        SiteError: If a site is missing in a trace, or no tensor.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer import Importance
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> posterior = Importance(lambda: sample("x", dist.Normal(3.0, 1.0)), num_samples=1000)
        >>> round(EmpiricalMarginal(posterior.run(), sites="x").mean.item())
        3
    """

    def __init__(
        self,
        trace_posterior: TracePosterior,
        sites: str | Sequence[str] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        log_weights = trace_posterior._normalized().detach()
        if sites is None or isinstance(sites, str):
            values = trace_posterior._site(sites or "_RETURN")
        else:
            values = _stacked(trace_posterior, list(sites))
        if trace_posterior.num_chains > 1:
            order = _by_chain(trace_posterior)
            values, log_weights = values[order], log_weights[order]
        super().__init__(values, log_weights, validate_args=validate_args)

    def _support(self, flatten: bool) -> Tensor:
        values = self.enumerate_support().movedim(0, len(self.batch_shape))
        return values.flatten(0, len(self.batch_shape)) if flatten else values


class Marginals:
    """The marginal distributions of sites, whatever their shapes.

    Args:
        trace_posterior: A posterior after its ``run``.
        sites: One or more sites; by default what the program returned, called ``"_RETURN"``.
        validate_args: Whether to check values; the global default if None.

    Raises:
        PPLError: As :class:`EmpiricalMarginal`.
    """

    def __init__(
        self,
        trace_posterior: TracePosterior,
        sites: str | Sequence[str] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        names = ["_RETURN"] if sites is None else [sites] if isinstance(sites, str) else list(sites)
        self._marginals = OrderedDict(
            (name, EmpiricalMarginal(trace_posterior, name, validate_args)) for name in names
        )

    @property
    def empirical(self) -> OrderedDict[str, EmpiricalMarginal]:
        """The marginal distribution of each site by name."""
        return self._marginals

    def support(self, flatten: bool = False) -> OrderedDict[str, Tensor]:
        """Return the values of each site, shape ``(trace, *site)``.

        Args:
            flatten: Of several chains: put them one after another, instead of along a dimension of
                their own, ``(chain, trace, *site)``.
        """
        return OrderedDict(
            (n, marginal._support(flatten)) for n, marginal in self.empirical.items()
        )


def _stacked(posterior: TracePosterior, sites: list[str]) -> Tensor:
    if not sites:
        raise SiteError("sites must name at least one site, got none; leave it out for the return")
    values = {name: posterior._site(name) for name in sites}
    shapes = {name: tuple(value.shape[1:]) for name, value in values.items()}
    if len(set(shapes.values())) > 1:
        raise ShapeError(
            f"an EmpiricalMarginal stacks sites of one shape, got {shapes}; use "
            "posterior.marginal(sites=[...]), which keeps them apart"
        )
    return torch.stack(list(values.values()), 1)


def _by_chain(posterior: TracePosterior) -> Tensor:
    """Return the indices of the traces of each chain, shape ``(chain, trace)``."""
    ids = torch.tensor(posterior.chain_ids)
    sizes = ids.bincount(minlength=posterior.num_chains).tolist()
    if len(set(sizes)) > 1:
        raise ShapeError(f"chains have different numbers of traces: {sizes}")
    return ids.argsort(stable=True).reshape(posterior.num_chains, -1)
