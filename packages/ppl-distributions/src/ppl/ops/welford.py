"""Running covariances (Welford 1962)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from ppl.errors import ShapeError

Count = TypeVar("Count", int, Tensor)


def add(count: Count, mean: Tensor | float, sample: Tensor) -> tuple[Count, Tensor, Tensor, Tensor]:
    """Return count and mean with one more sample, and its deviations from the mean before and now.

    A sum of squares grows by the product of the two.

    Args:
        count: How many samples there were, an integer or ``(*batch)``.
        mean: Their mean, ``(*batch, dim)``.
        sample: Another one of each batch, ``(*batch, dim)``.
    """
    count = count + 1
    before = sample - mean
    mean = mean + before / (count[..., None] if isinstance(count, Tensor) else count)
    return count, mean, before, sample - mean


def shrink(covariance: Tensor, count: int | Tensor, prior: Tensor) -> Tensor:
    """Return a covariance shrunk towards 0.001 times `prior`, which counts for five samples.

    See the Stan reference manual, "HMC algorithm parameters".
    """
    return (count * covariance + 5e-3 * prior) / (count + 5)


class RunningMoments(ABC):
    """The running mean of samples, and a scatter: sums of products of deviations from it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.n_samples: int = 0
        self.mean: Tensor | float = 0.0

    def update(self, sample: Tensor) -> None:
        """Add a sample, shape ``(dim,)``."""
        self.n_samples, self.mean, before, after = add(self.n_samples, self.mean, sample)
        self._scatter(before, after)

    @abstractmethod
    def _scatter(self, before: Tensor, after: Tensor) -> None:
        """Add a sample's deviations from the mean without it, and from the mean with it."""

    def _normalized(self, scatter: Tensor, unit: Tensor, regularize: bool) -> Tensor:
        if self.n_samples < 2:
            raise ShapeError(f"a covariance needs 2 samples or more, but got {self.n_samples}")
        covariance = scatter / (self.n_samples - 1)
        return shrink(covariance, self.n_samples, unit) if regularize else covariance


class WelfordCovariance(RunningMoments):
    """The running covariance of samples.

    Args:
        diagonal: Whether only variances are kept.

    Example:
        >>> running = WelfordCovariance()
        >>> for sample in [[1.0, 0.0], [3.0, 4.0]]:
        ...     running.update(torch.tensor(sample))
        >>> running.get_covariance(regularize=False)
        tensor([2., 8.])
    """

    def __init__(self, diagonal: bool = True) -> None:
        self.diagonal = diagonal
        super().__init__()

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self.scatter: Tensor = torch.zeros(())

    def get_covariance(self, regularize: bool = True) -> Tensor:
        """Return the covariance ``(dim, dim)``, or the variances ``(dim,)``.

        Args:
            regularize: Whether it is shrunk towards 0.001 times the unit matrix.

        Raises:
            ShapeError: If there are fewer than two samples.
        """
        unit = torch.ones_like(torch.as_tensor(self.mean))
        unit = unit if self.diagonal else unit.diag()
        return self._normalized(self.scatter, unit, regularize)

    def _scatter(self, before: Tensor, after: Tensor) -> None:
        product = before * after if self.diagonal else before.outer(after)
        self.scatter = product + self.scatter.to(product)


class WelfordArrowheadCovariance(RunningMoments):
    """The running covariance of samples, where only the first variables have correlations.

    Args:
        head_size: The number of variables whose correlations with all others are kept.
    """

    def __init__(self, head_size: int = 0) -> None:
        self.head_size = head_size
        super().__init__()

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self.top: Tensor = torch.zeros(())
        self.bottom_diag: Tensor = torch.zeros(())

    def get_covariance(self, regularize: bool = True) -> tuple[Tensor, Tensor]:
        """Return the first rows of the covariance ``(head_size, dim)``, and the other variances.

        Args:
            regularize: Whether it is shrunk towards 0.001 times the unit matrix.

        Raises:
            ShapeError: If there are fewer than two samples.
        """
        unit = torch.eye(*self.top.shape, dtype=self.top.dtype, device=self.top.device)
        ones = torch.ones_like(self.bottom_diag)
        top = self._normalized(self.top, unit, regularize)
        return top, self._normalized(self.bottom_diag, ones, regularize)

    def _scatter(self, before: Tensor, after: Tensor) -> None:
        head = self.head_size
        self.top = before[:head].outer(after) + self.top.to(before)
        self.bottom_diag = before[head:] * after[head:] + self.bottom_diag.to(before)
