"""Posteriors that are a bag of weighted executions of a program."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import NotRunError, ShapeError, SiteError
from ppl.ops.stats import waic

from .arguments import positive_int
from .importance_weights import normalized
from .likelihood import pointwise
from .trace_batch import TraceBatch

if TYPE_CHECKING:
    from .marginals import Marginals
    from .results.posterior import Posterior

P = TypeVar("P", bound="TracePosterior")


class TracePosterior:
    """A posterior made of executions, the base class of what infers by running a program.

    A derived class defines ``_traces(*args, **kwargs)``, which yields pairs of a trace and its log
    weight, or triples with the number of a chain.

    Args:
        num_chains: How many chains ``_traces`` tells apart.

    Attributes:
        exec_traces: The traces, in the order of execution.
        log_weights: Their log weights, scalars in nats, not normalized.
        chain_ids: The chain of each.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> class Prior(TracePosterior):
        ...     def _traces(self, model):
        ...         for _ in range(3):
        ...             yield poutine.trace(model).get_trace(), 0.0
        >>> len(Prior().run(lambda: sample("x", dist.Normal(0.0, 1.0))).exec_traces)
        3
    """

    _runs_programs = True  # and is none itself, though it can be called
    exec_traces: Sequence[poutine.Trace]
    log_weights: list[Tensor]
    chain_ids: list[int]

    def __init__(self, num_chains: int = 1) -> None:
        self.num_chains: int = positive_int("num_chains", num_chains)
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] = (), {}  # of the last run
        self._keep([], [], [])

    def __deepcopy__(self: P, memo: dict[int, Any]) -> P:
        """Share weights that carry a gradient, which torch cannot copy; copy everything else."""
        memo.update((id(x), x) for x in self.log_weights if not x.is_leaf)
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new

    def run(self: P, *args: Any, **kwargs: Any) -> P:
        """Run inference with the arguments of the program, in place of what was there before.

        Returns:
            This object.
        """
        with poutine.block():
            self._keep(*self._collect(*args, **kwargs))
        self._arguments = args, kwargs
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> poutine.Trace:
        """Return one of the traces at random, each with its probability."""
        weights = self._normalized()
        return self.exec_traces[int(weights.exp().multinomial(1))]

    def marginal(self, sites: str | Sequence[str] | None = None) -> Marginals:
        """Return the distribution of what the program returned, or of each of the sites."""
        from .marginals import Marginals  # which needs this module

        return Marginals(self, sites)

    def posterior(self) -> Posterior:
        """Return the weighted draws of all sites, and what can be asked of them.

        Raises:
            NotRunError: Before :meth:`run`.
            SiteError: If the sites are others in some executions.
        """
        from .results.of_traces import posterior_of  # which needs this module

        return posterior_of(self, getattr(self, "model", None), **self._report())

    def information_criterion(self, pointwise: bool = False) -> dict[str, Tensor]:
        """Return the widely applicable information criterion, smaller for better predictions.

        Args:
            pointwise: Whether to return a vector with one element for each observation, in the
                order of the sites, instead of the sums.

        Returns:
            ``waic``, on the deviance scale in nats, and ``p_waic``, the effective number of
            parameters.

        Raises:
            NotRunError: Before :meth:`run`.
            SiteError: If nothing is observed, or there is but one trace.

        References:
            Vehtari, Gelman & Gabry 2017, "Practical Bayesian model evaluation using leave-one-out
            cross-validation and WAIC".
        """
        log_weights = self._normalized()
        if len(log_weights) < 2:
            raise SiteError("WAIC compares draws: it needs at least two of them, got one")
        criterion, penalty = waic(self._log_likelihood(), log_weights, pointwise)
        return OrderedDict(waic=criterion, p_waic=penalty)

    # for derived classes

    def _report(self) -> dict[str, Any]:
        """Return what else there is to say of the draws: attributes of their posterior, by name."""
        return {"method": type(self).__name__.lower()}

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define _traces")

    def _collect(
        self, *args: Any, **kwargs: Any
    ) -> tuple[Sequence[poutine.Trace], list[Tensor], list[int]]:
        """Return traces, log weights and chains of a run."""
        rows = [row if len(row) == 3 else (*row, 0) for row in self._traces(*args, **kwargs)]
        traces, log_weights, chains = zip(*rows, strict=True) if rows else ((), (), ())
        return list(traces), [torch.as_tensor(x) for x in log_weights], list(chains)

    def _keep(
        self, traces: Sequence[poutine.Trace], log_weights: list[Tensor], chain_ids: list[int]
    ) -> None:
        strange = sorted({chain for chain in chain_ids if chain not in range(self.num_chains)})
        if strange:
            raise SiteError(f"traces belong to chains {strange}, but num_chains={self.num_chains}")
        self.exec_traces, self.log_weights, self.chain_ids = traces, log_weights, chain_ids

    # for what is made of the traces

    def _normalized(self) -> Tensor:
        """Return log weights that sum to one.

        Raises:
            NotRunError: Before :meth:`run`.
            SiteError: If all are minus infinity, or one is no number.
        """
        if not self.log_weights:
            raise NotRunError(f"{type(self).__name__} holds no traces yet; call run(...) first")
        return normalized(torch.stack(self.log_weights))

    def _site(self, name: str) -> Tensor:
        """Return the values of a site in all traces, shape ``(trace, *site)``."""
        if isinstance(self.exec_traces, TraceBatch) and name in self.exec_traces.values:
            return self.exec_traces.values[name]
        values = [_value(trace, name) for trace in self.exec_traces]
        shapes = {tuple(value.shape) for value in values}
        if len(shapes) > 1:
            raise ShapeError(
                f"site {name!r} has different shapes in different traces: {sorted(shapes)}; it has "
                "no marginal distribution of one shape",
                site=name,
            )
        return torch.stack(values)

    def _log_likelihood(self) -> Tensor:
        """Return log densities of all observations, shape ``(trace, observation)``."""
        if isinstance(self.exec_traces, TraceBatch):
            found = self.exec_traces.map(pointwise)
        else:
            rows = [pointwise(trace) for trace in self.exec_traces]
            if any(row.keys() != rows[0].keys() for row in rows):
                raise SiteError("WAIC needs the same observations in every trace")
            found = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        if not found:
            raise SiteError("WAIC scores observations, but no site of the model is observed")
        return torch.cat([x.flatten(1) for x in found.values()], 1)


def _value(trace: poutine.Trace, name: str) -> Tensor:
    """Return the value of a site as a tensor; a number becomes one."""
    if name not in trace:
        raise SiteError(
            f"site {name!r} is not in every trace; this one has {list(trace.nodes)}", site=name
        )
    value = trace.nodes[name]["value"]
    if isinstance(value, (bool, int, float)):
        value = torch.tensor(float(value))
    if not isinstance(value, Tensor):
        what = "what the program returns" if name == "_RETURN" else f"the value of site {name!r}"
        raise SiteError(
            f"a marginal distribution is one of tensors, but {what} is {value!r}; return a tensor, "
            "or name sample sites",
            site=name,
        )
    return value.detach()
