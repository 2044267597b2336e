"""Distributions over categories and over counts of categories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.ops.powers import log_nonnegative, log_power

from . import saddle_point
from .counts import Binomial
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
        index = value.long().unsqueeze(-1)
        index, parameter = torch.broadcast_tensors(index, self._param)
        chosen = parameter.gather(-1, index[..., :1]).squeeze(-1)
        return log_nonnegative(chosen) if is_given(self, "probs") else chosen

    def entropy(self) -> Tensor:
        if is_given(self, "probs"):
            return -log_power(self.probs, self.probs).sum(-1)
        finite = self.logits.clamp(min=torch.finfo(self.logits.dtype).min)  # for 0 * -inf
        return -(finite * self.probs).sum(-1)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
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
        indices: Tensor = self._categorical.sample(torch.Size(sample_shape))
        categories = torch.arange(self.event_shape[0], device=indices.device)
        return (indices.unsqueeze(-1) == categories).to(self.probs.dtype)


class OneHotCategoricalStraightThrough(
    torch.distributions.OneHotCategoricalStraightThrough, OneHotCategorical
):
    """One-hot categorical whose draws pass gradients to ``probs`` unchanged (Bengio et al. 2013).

    The gradient is biased.
    """


class Multinomial(torch.distributions.Multinomial, TorchDistributionMixin):
    """Counts of ``k`` categories among ``total_count`` draws with weights ``probs``."""

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits)
        self._binomial = Binomial(total_count, self.probs)
        super(torch.distributions.Multinomial, self).__init__(
            self._categorical.batch_shape,
            self._categorical.param_shape[-1:],
            validate_args=validate_args,
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(Multinomial, _instance))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            draws = self._categorical.sample(torch.Size((self.total_count, *sample_shape)))
            indices = draws.movedim(0, -1)  # (*sample, *batch, total_count)
            zeros: Tensor = self.probs.new_zeros(self._extended_shape(sample_shape))
            return zeros.scatter_add(-1, indices, torch.ones_like(indices, dtype=zeros.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        if is_given(self._categorical, "probs"):
            return saddle_point.multinomial(value, self.probs)
        return saddle_point.multinomial_of_logits(value, self.logits)
