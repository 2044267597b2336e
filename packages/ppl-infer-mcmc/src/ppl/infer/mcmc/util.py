"""From draws to tables, and other helpers under the names they are known by."""

from __future__ import annotations

import typing as _typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError
from ppl.infer import diagnostics as infer_diagnostics
from ppl.infer.enumeration import check_room, log_sum
from ppl.infer.mcmc.target.initialize import initialize_model as initialize_model
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.predictive import Predictive
from ppl.plugins import misspelt as _misspelt

Samples = dict[str, Tensor]


class TraceEinsumEvaluator:
    """Computes log densities of executions, summed over enumerated sites if there are any.

    Args:
        model_trace: A trace of the model; all others shall be like it.
        has_enumerable_sites: Whether the model runs inside ``poutine.enum``.
        max_plate_nesting: The number of batch dimensions of plates.

    Raises:
        ShapeError: If `max_plate_nesting` is too small.
        ArgumentError: If there are enumerated sites and `max_plate_nesting` is not given.
    """

    def __init__(
        self,
        model_trace: poutine.Trace,
        has_enumerable_sites: bool = False,
        max_plate_nesting: int | None = None,
    ) -> None:
        self.has_enumerable_sites = has_enumerable_sites
        if has_enumerable_sites:
            if max_plate_nesting is None:
                raise ArgumentError(
                    "has_enumerable_sites=True needs max_plate_nesting: pass a number"
                )
            check_room(model_trace, max_plate_nesting)

    def log_prob(self, model_trace: poutine.Trace) -> Tensor:
        """Return the log density, shape ``()``, in nats.

        It is summed over enumerated sites by :func:`ppl.infer.enumeration.log_sum`.
        """
        if self.has_enumerable_sites:
            return log_sum(model_trace)
        return torch.as_tensor(model_trace.log_prob_sum())


class TraceTreeEvaluator(TraceEinsumEvaluator):
    """Computes the same by the same contraction; there is no second algorithm."""


def select_samples(
    samples: Mapping[str, Tensor], num_samples: int | None = None, group_by_chain: bool = False
) -> Samples:
    """Return draws ``(chain, draw, *site)`` as they are, flattened, or resampled.

    Args:
        samples: Draws by site, shape ``(chain, draw, *site)``.
        num_samples: Resample so many draws with replacement, the same ones for all sites.
        group_by_chain: Keep the chain dimension, else return ``(draw, *site)``.
    """
    if not group_by_chain:
        samples = {name: draws.flatten(0, 1) for name, draws in samples.items()}
    if num_samples is None or not samples:
        return dict(samples)
    draw_dim = 1 if group_by_chain else 0
    first = next(iter(samples.values()))
    index = torch.randint(first.shape[draw_dim], (num_samples,))
    return {n: draws.index_select(draw_dim, index.to(draws.device)) for n, draws in samples.items()}


def diagnostics(samples: Mapping[str, Tensor], group_by_chain: bool = True) -> dict[str, Samples]:
    """Return ``n_eff``, ``ess_bulk``, ``ess_tail`` and ``r_hat`` of each site, with its shape.

    Args:
        samples: Draws by site, shape ``(chain, draw, *site)``, or ``(draw, *site)`` with
            ``group_by_chain=False``.
        group_by_chain: Whether the draws have a chain dimension.
    """
    return {
        name: {
            "n_eff": table["n_eff"],
            "r_hat": table["r_hat"],
            "ess_bulk": table["n_eff"],
            "ess_tail": table["ess_tail"],
        }
        for name, table in summary(samples, group_by_chain=group_by_chain).items()
    }


def diagnostics_from_stats(
    statistics: Mapping[Any, Mapping[str, Any]], num_samples: int, num_chains: int
) -> dict[str, Samples]:
    """Return ``r_hat`` of each site from the means and variances of whole chains.

    Chains are neither split nor ranked (Gelman & Rubin 1992): what this does not see are trends
    that all chains share, and heavy tails.  It is nan for one chain.

    Args:
        statistics: By ``(chain, site)``, as :meth:`ppl.infer.mcmc.StreamingMCMC.get_statistics`
            returns them.  Sites without ``mean`` and ``variance`` have no result.
        num_samples: Draws of each chain.
        num_chains: The number of chains.
    """
    sites = {
        name for (_, name), found in statistics.items() if {"mean", "variance"} <= found.keys()
    }
    result: dict[str, Samples] = {}
    for name in sorted(sites):
        mean, within = (
            torch.stack([statistics[chain, name][key] for chain in range(num_chains)])
            for key in ("mean", "variance")
        )
        between = mean.var(0) if num_chains > 1 else torch.full_like(mean[0], torch.nan)
        cross_chain_adaptation = within.mean(0) * (num_samples - 1) / num_samples + between
        result[name] = {"r_hat": (cross_chain_adaptation / within.mean(0)).sqrt()}
    return result


def summary(
    samples: Mapping[str, Tensor], prob: float = 0.9, group_by_chain: bool = True
) -> dict[str, Samples]:
    """Return the posterior summary of each site; see :func:`ppl.infer.diagnostics.summary`."""
    if not group_by_chain:
        samples = {name: draws[None] for name, draws in samples.items()}
    return infer_diagnostics.summary(samples, prob)


def print_summary(
    samples: Mapping[str, Tensor], prob: float = 0.9, group_by_chain: bool = True
) -> None:
    """Print the table of :func:`summary`, one row for each component of a site."""
    print(infer_diagnostics.format_summary(summary(samples, prob, group_by_chain)))


@opaque
def predictive(
    model: Callable[..., Any],
    posterior_samples: Mapping[str, Tensor],
    *args: Any,
    num_samples: int | None = None,
    return_sites: Sequence[str] = (),
    parallel: bool = False,
    **kwargs: Any,
) -> Samples:
    """Return draws of the posterior predictive distribution; see :class:`ppl.infer.Predictive`."""
    draw = Predictive(
        model,
        posterior_samples,
        num_samples=num_samples,
        return_sites=return_sites,
        parallel=parallel,
    )
    samples: Samples = draw(*args, **kwargs)
    return samples


if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
