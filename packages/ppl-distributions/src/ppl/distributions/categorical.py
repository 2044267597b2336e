"""Distributions over categories and over counts of categories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.distribution.shapes import shape_of_samples
from ppl.errors import SupportError
from ppl.ops.powers import log_nonnegative, log_power

from . import saddle_point
from .parameters import derived
from .trials import is_given

MANY = 2**12  # categories, from which on draws are made in double precision


class Categorical(torch.distributions.Categorical, TorchDistributionMixin):
    """Index of one of ``k`` categories with weights ``probs`` or ``logits``, ``(*batch, k)``.

    Categories may be impossible (a weight of 0, a logit of -inf), and any rare.
    """

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name, given = ("probs", probs) if logits is None else ("logits", logits)
        if given is None or given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        normalize = _normalize_probs if logits is None else _normalize_logits
        self._param = normalize(given)
        setattr(self, name, self._param)
        self._num_events = given.shape[-1]
        super(torch.distributions.Categorical, self).__init__(
            given.shape[:-1], validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(Categorical, _instance))

    @derived
    def probs(self) -> Tensor:
        """Probabilities of the categories."""
        return self.logits.exp()

    @derived
    def logits(self) -> Tensor:
        """Log probabilities of the categories."""
        return log_nonnegative(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        index, parameter = value.long().unsqueeze(-1), self._param
        if value.shape != parameter.shape[:-1]:
            index, parameter = torch.broadcast_tensors(index, parameter)
            index = index[..., :1]
        chosen = parameter.gather(-1, index).squeeze(-1)
        return log_nonnegative(chosen) if is_given(self, "probs") else chosen

    def entropy(self) -> Tensor:
        if is_given(self, "probs"):
            return -log_power(self.probs, self.probs).sum(-1)
        finite = self.logits.clamp(min=torch.finfo(self.logits.dtype).min)  # for 0 * -inf
        return -(finite * self.probs).sum(-1)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        if 0 in self._extended_shape(sample_shape):  # which torch.multinomial refuses
            return torch.empty(
                self._extended_shape(sample_shape), dtype=torch.long, device=self._param.device
            )
        if self._num_events < MANY:
            draw: Tensor = super().sample(sample_shape)
            return draw
        # torch's sampler refuses more than 2 ** 24 categories and never draws the rare ones
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            below = self.probs.double().cumsum(-1).reshape(-1, self._num_events)
            u = torch.rand(
                (shape.numel() // max(len(below), 1), len(below)),
                device=below.device,
                dtype=below.dtype,
            )
            index = torch.searchsorted(below, (u.T * below[:, -1:]).contiguous(), right=True)
            return index.clamp(max=self._num_events - 1).T.reshape(shape)


def _normalize_probs(probs: Tensor) -> Tensor:
    return probs / probs.sum(-1, keepdim=True)


def _normalize_logits(logits: Tensor) -> Tensor:
    """Return log probabilities; those of infinite weights are in the limit of equal large ones."""
    if not logits.is_floating_point():
        logits = logits.to(torch.get_default_dtype())
    largest = torch.finfo(logits.dtype).max / 4  # that times log2(e), in exp(), must not overflow
    return logits.clamp(max=largest).log_softmax(-1)


class OneHotCategorical(torch.distributions.OneHotCategorical, TorchDistributionMixin):
    """Unit vector of one of ``k`` categories with weights ``probs`` or ``logits``."""

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        super(torch.distributions.OneHotCategorical, self).__init__(
            self._categorical.batch_shape,
            self._categorical.param_shape[-1:],
            validate_args=validate_args,
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(OneHotCategorical, _instance))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        # torch's one_hot reads values back to check them, which make_fx cannot follow
        indices: Tensor = self._categorical.sample(shape_of_samples(self, sample_shape))
        categories = torch.arange(self.event_shape[0], device=indices.device)
        return (indices.unsqueeze(-1) == categories).to(self.probs.dtype)


class OneHotCategoricalStraightThrough(
    torch.distributions.OneHotCategoricalStraightThrough, OneHotCategorical
):
    """One-hot categorical whose draws pass gradients to ``probs`` unchanged (Bengio et al. 2013).

    The gradient is biased.
    """


class Multinomial(torch.distributions.Multinomial, TorchDistributionMixin):
    """Counts of ``k`` categories among ``total_count`` draws with weights ``probs``.

    Args:
        total_count: The number of draws: a tensor has one for each row, shape ``(*batch,)``, and a
            row that does not sum to its own is refused. A number is what is drawn, and the most
            that a row may sum to: each row is scored among those with its own sum.
        probs: Weights, shape ``(*batch, k)``.
        logits: Their logarithms, instead of them.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    def __init__(
        self,
        total_count: int | Tensor = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        categorical = Categorical(probs, logits)
        batch_shape = categorical.batch_shape
        if isinstance(total_count, Tensor) and total_count.dim():
            batch_shape = torch.broadcast_shapes(total_count.shape, batch_shape)
            total_count = total_count.expand(batch_shape)
        elif not isinstance(total_count, int):
            total_count = int(total_count)
        self.total_count: Any = total_count
        self._categorical = categorical.expand(batch_shape)
        super(torch.distributions.Multinomial, self).__init__(
            batch_shape, categorical.param_shape[-1:], validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, self._get_checked_instance(Multinomial, _instance))
        if isinstance(self.total_count, Tensor):
            new.total_count = self.total_count.expand(torch.Size(batch_shape))
        return new

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            most = self._most()
            draws = self._categorical.sample(
                torch.Size([most]) + shape_of_samples(self, sample_shape)
            )
            indices = draws.movedim(0, -1)  # (*sample, *batch, total_count)
            zeros: Tensor = self.probs.new_zeros(self._extended_shape(sample_shape))
            ones = torch.ones_like(indices, dtype=zeros.dtype)
            if isinstance(self.total_count, Tensor):  # rows of fewer draws leave the others out
                order = torch.arange(most, device=indices.device)
                ones = ones * (order < self.total_count.unsqueeze(-1))
            return zeros.scatter_add(-1, indices, ones)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
            self._validate_totals(value)
        if is_given(self._categorical, "probs"):
            return saddle_point.multinomial(value, self.probs)
        return saddle_point.multinomial_of_logits(value, self.logits)

    def entropy(self) -> Tensor:
        """Return the entropy by that of binomials, in double precision."""
        probs = self.probs.double()
        total = torch.as_tensor(self.total_count, dtype=probs.dtype, device=probs.device)
        each = total.unsqueeze(-1)
        counts = torch.arange(self._most() + 1, dtype=probs.dtype, device=probs.device)
        counts = counts.reshape(-1, *[1] * probs.dim())
        mass = saddle_point.binomial(torch.minimum(counts, each), each, probs).exp()
        mass = torch.where(counts <= each, mass, 0.0)
        choices = (mass * (counts + 1).lgamma()).sum(0).sum(-1)
        draws = -log_power(probs, probs).sum(-1)
        return (total * draws - (total + 1).lgamma() + choices).to(self.probs.dtype)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self._totals() * self.probs
        return mean

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.probs)

    def _totals(self) -> Any:
        total = self.total_count
        return total.unsqueeze(-1) if isinstance(total, Tensor) else total

    def _most(self) -> int:
        total = self.total_count
        if not isinstance(total, Tensor):
            return int(total)
        return int(total.max()) if total.numel() else 0

    def _validate_totals(self, value: Tensor) -> None:
        if not isinstance(self.total_count, Tensor):
            return
        sums = value.sum(-1)
        wrong = sums != self.total_count
        if bool(wrong.any()):
            expected = self.total_count.expand(wrong.shape)[wrong]
            raise SupportError(
                f"Multinomial: rows of counts sum to {sums.expand(wrong.shape)[wrong].tolist()}, "
                f"their total_count is {expected.tolist()}; "
                "write total_count=value.sum(-1) for rows of several totals"
            )
