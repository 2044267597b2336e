"""Draws of equal weight from draws with weights, by independent Metropolis-Hastings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ppl.errors import NotRunError
from ppl.poutine.program_errors import require_program

from .weighed_predictive import WeighedPredictiveResults as Results


class MHResampler(torch.nn.Module):
    """Markov chains whose proposals are draws with importance weights.

    Each of the draws that the sampler returns at a time is the proposal of a chain of its own. It
    is accepted with probability ``min(1, weight / current weight)``, so that the chains converge to
    the distribution that the weights stand for (Liu 1996, "Metropolized independent sampling").

    Args:
        sampler: A :class:`WeighedPredictive`, or another function that returns
            :class:`WeighedPredictiveResults`.
        source_samples_slice: Which of the results of the sampler are kept; none by default,
            ``slice(None)`` keeps all, and ``slice(-10, None)`` the last ten.
        stored_samples_slice: Which of the states of the chains are kept.

    Attributes:
        transition_count: How often each chain has accepted, shape ``(chain,)``.
    """

    def __init__(
        self,
        sampler: Callable[..., Results],
        source_samples_slice: slice = slice(0),
        stored_samples_slice: slice = slice(0),
    ) -> None:
        super().__init__()
        require_program("sampler", sampler)
        self.sampler = sampler
        self.samples: Results | None = None
        self.transition_count: Tensor = torch.tensor(0)
        self.source_samples: list[Results] = []
        self.stored_samples: list[Results] = []
        self.source_samples_slice, self.stored_samples_slice = (
            source_samples_slice,
            stored_samples_slice,
        )

    def forward(self, *args: Any, **kwargs: Any) -> Results:
        """Advance each chain by one proposal and return their states.

        Args:
            args: Arguments of the sampler.
            kwargs: Keyword arguments of the sampler.
        """
        proposed = self.sampler(*args, **kwargs)
        if self.samples is None:
            self.samples = proposed.clone()
            self.transition_count = torch.zeros_like(proposed.log_weights, dtype=torch.long)
        else:
            ratio = proposed.log_weights - self.samples.log_weights
            is_accepted = torch.rand_like(ratio).log() < ratio
            self.transition_count = self.transition_count + is_accepted
            self.samples = _chosen(is_accepted, proposed, self.samples)
        self.source_samples = [*self.source_samples, proposed][self.source_samples_slice]
        self.stored_samples = [*self.stored_samples, self.samples][self.stored_samples_slice]
        return self.samples

    def get_min_sample_transition_count(self) -> Tensor:
        """Return how often the chain that moved least has moved."""
        return self.transition_count.min()

    def get_total_transition_count(self) -> Tensor:
        """Return how often all chains together have moved."""
        return self.transition_count.sum()

    def get_source_samples(self) -> Results:
        """Return the results of the sampler that were kept, one after another."""
        return self.get_samples(self.source_samples)

    def get_stored_samples(self) -> Results:
        """Return the states of the chains that were kept, one after another."""
        return self.get_samples(self.stored_samples)

    def get_samples(self, samples: list[Results]) -> Results:
        """Return several results as one.

        Raises:
            NotRunError: If there are none.
        """
        if not samples:
            raise NotRunError("no samples were kept: pass slices to MHResampler, and call it")
        return _map(lambda *tensors: torch.cat(tensors), *samples)


def _chosen(is_new: Tensor, new: Results, old: Results) -> Results:
    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(is_new.reshape(-1, *(1,) * (a.dim() - 1)), a, b)

    return _map(choose, new, old)


def _map(fn: Callable[..., Tensor], *results: Results) -> Results:
    """Return the results of a function of each of the tensors."""
    fields = [field.name for field in dataclasses.fields(Results)]
    return Results(
        **{name: tree_map(fn, *(getattr(result, name) for result in results)) for name in fields}
    )
