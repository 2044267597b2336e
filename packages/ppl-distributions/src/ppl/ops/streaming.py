"""Statistics of samples that come one by one and are not kept.

Each is updated by single samples, and two that saw different samples can be merged, so that chains
may be summarized where they run.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class StreamingStats(ABC):
    """A statistic of samples that come one by one."""

    @abstractmethod
    def update(self, sample: Any) -> None:
        """Add a sample, in place."""

    @abstractmethod
    def merge(self, other: Any) -> StreamingStats:
        """Return the statistic of the samples of both, which stay as they are."""

    @abstractmethod
    def get(self) -> Any:
        """Return the value of the statistic."""


class CountStats(StreamingStats):
    """The number of samples."""

    def __init__(self, count: int = 0) -> None:
        self.count: int = count

    def update(self, sample: Any) -> None:
        """Add a sample of any kind, in place."""
        self.count += 1

    def merge(self, other: CountStats) -> CountStats:
        """Return the statistic of the samples of both, which stay as they are."""
        return CountStats(self.count + other.count)

    def get(self) -> dict[str, int]:
        """Return ``count``."""
        return {"count": self.count}


class CountMeanStats(StreamingStats):
    """The number and the mean of tensors."""

    def __init__(self, count: int = 0, mean: Tensor | float = 0.0) -> None:
        self.count: int = count
        self.mean = mean

    def update(self, sample: Tensor) -> None:
        """Add a tensor, of the shape of all others, in place."""
        self.count += 1
        self.mean = self.mean + (sample.detach() - self.mean) / self.count

    def merge(self, other: CountMeanStats) -> CountMeanStats:
        """Return the statistic of the samples of both, which stay as they are."""
        count = self.count + other.count
        share = other.count / max(count, 1)
        return CountMeanStats(count, self.mean + share * (other.mean - self.mean))

    def get(self) -> dict[str, int | Tensor]:
        """Return ``count``, and the ``mean`` of one sample or more."""
        if self.count == 0:
            return {"count": 0}
        return {"count": self.count, "mean": torch.as_tensor(self.mean)}


class CountMeanVarianceStats(StreamingStats):
    """The number, the mean and the variance of tensors.

    Example:
        >>> stats = CountMeanVarianceStats()
        >>> for sample in torch.tensor([1.0, 2.0, 6.0]):
        ...     stats.update(sample)
        >>> stats.get()
        {'count': 3, 'mean': tensor(3.), 'variance': tensor(7.)}
    """

    def __init__(
        self, count: int = 0, mean: Tensor | float = 0.0, scatter: Tensor | float = 0.0
    ) -> None:
        self.count: int = count
        self.mean = mean
        self.scatter = scatter  # the sum of squared deviations from the mean

    def update(self, sample: Tensor) -> None:
        """Add a tensor, of the shape of all others, in place."""
        merged = self.merge(CountMeanVarianceStats(1, sample.detach()))
        self.count, self.mean, self.scatter = merged.count, merged.mean, merged.scatter

    def merge(self, other: CountMeanVarianceStats) -> CountMeanVarianceStats:
        """Return the statistic of the samples of both (Chan, Golub, LeVeque 1983, eq. 2.1)."""
        count = self.count + other.count
        share, gap = other.count / max(count, 1), other.mean - self.mean
        scatter = self.scatter + other.scatter + self.count * share * gap**2
        return CountMeanVarianceStats(count, self.mean + share * gap, scatter)

    def get(self) -> dict[str, int | Tensor]:
        """Return ``count``, and of one sample or more ``mean`` and ``variance`` (nan for one)."""
        if self.count == 0:
            return {"count": 0}
        mean, scatter = torch.as_tensor(self.mean), torch.as_tensor(self.scatter)
        return {"count": self.count, "mean": mean, "variance": scatter / (self.count - 1)}


class StackStats(StreamingStats):
    """All tensors, for those few that are to be kept."""

    def __init__(self, samples: Iterable[Tensor] = ()) -> None:
        self.samples: list[Tensor] = list(samples)

    def update(self, sample: Tensor) -> None:
        """Add a tensor, of the shape of all others, in place."""
        self.samples.append(sample)

    def merge(self, other: StackStats) -> StackStats:
        """Return the samples of both."""
        return StackStats(self.samples + other.samples)

    def get(self) -> dict[str, int | Tensor]:
        """Return ``count``, and of one sample or more the stacked ``samples``."""
        if not self.samples:
            return {"count": 0}
        return {"count": len(self.samples), "samples": torch.stack(self.samples)}


class StatsOfDict(StreamingStats):
    """A statistic for each key of samples that are dictionaries.

    Args:
        types: The kind of statistic for keys that are known; these are there from the beginning.
        default: The kind of statistic for other keys.
    """

    def __init__(
        self,
        types: Mapping[Hashable, Callable[[], StreamingStats]] | None = None,
        default: Callable[[], StreamingStats] = CountStats,
    ) -> None:
        self.default = default
        self.stats: dict[Hashable, StreamingStats] = {
            key: make() for key, make in (types or {}).items()
        }

    def update(self, sample: Mapping[Any, Any]) -> None:
        """Add a dictionary, in place; it need not have all keys."""
        for key, value in sample.items():
            self.stats.setdefault(key, self.default()).update(value)

    def merge(self, other: StatsOfDict) -> StatsOfDict:
        """Return the statistics of the samples of both, which stay as they are."""
        merged = StatsOfDict(default=self.default)
        merged.stats = {**copy.deepcopy(self.stats), **copy.deepcopy(other.stats)}
        for key in self.stats.keys() & other.stats.keys():
            merged.stats[key] = self.stats[key].merge(other.stats[key])
        return merged

    def get(self) -> dict[Hashable, Any]:
        """Return the value of each statistic."""
        return {key: stats.get() for key, stats in self.stats.items()}
