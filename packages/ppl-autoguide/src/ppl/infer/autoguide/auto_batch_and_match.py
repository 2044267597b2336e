"""A normal that is found by matching scores in closed form, without a learning rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.errors import NotFiniteError
from ppl.infer.arguments import positive_int
from ppl.validation import validation_enabled

from .auto_multivariate_normal import AutoMultivariateNormal
from .vector_density import BatchedDensity, VectorDensity


class AutoBatchAndMatch(AutoMultivariateNormal):
    """A normal with any covariance, fitted by :meth:`fit` with no optimizer and no learning rate.

    Each step draws a batch from the normal and chooses the next one in closed form, so that its
    scores match those of the posterior there and it stays near the last one (Cai et al. 2024,
    "Batch and match: black-box variational inference with a score-based divergence"). Where the
    posterior is normal it is found exactly. It needs the gradient of the density of all data.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        init_scale: The first standard deviation of each component.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> tril = torch.tensor([[1.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
        >>> def model():
        ...     sample("z", dist.MultivariateNormal(tril[0], scale_tril=tril))
        >>> guide = AutoBatchAndMatch(model).fit(num_steps=50)
        >>> guide.get_posterior().covariance_matrix.detach().round(decimals=3)
        tensor([[1., 2.],
                [2., 5.]], dtype=torch.float64)
    """

    @torch.no_grad()
    @validation_enabled(False)
    def fit(
        self, *args: Any, num_steps: int = 500, batch_size: int = 32, **kwargs: Any
    ) -> AutoBatchAndMatch:
        """Match the scores step by step, from where the guide is, and return the guide.

        Args:
            args: The arguments of the model, with all of the data.
            num_steps: How many steps.
            batch_size: How many draws a step looks at.
            kwargs: The arguments of the model by name.

        Raises:
            SiteError: If a number is not a positive integer, or ``batch_size`` is 1.
            ArgumentError: If a plate is subsampled.
            UnsupportedModelError: If the model draws at random besides the sites of the guide.
            NotFiniteError: If no draw of a batch has a finite density and gradient.
        """
        num_steps = positive_int("num_steps", num_steps)
        batch_size = positive_int("batch_size", batch_size, at_least=2)
        self.setup(*args, **kwargs)
        loc, tril = self.loc.detach().clone(), self._cholesky().detach()
        batch = loc.expand(batch_size, -1).contiguous()
        density = BatchedDensity(VectorDensity(self, args, kwargs), batch)
        for step in range(num_steps):
            draws = loc + torch.randn_like(batch) @ tril.mT
            value, scores = density(draws)
            fine = value.isfinite() & scores.isfinite().all(-1)
            if not bool(fine.any()):
                raise NotFiniteError(
                    f"none of the {batch_size} draws of step {step} has a finite density and "
                    "gradient; start nearer to the posterior by init_loc_fn and init_scale"
                )
            weight = batch_size * len(loc) / (step + 1)
            loc, tril = match(loc, tril, draws[fine], scores[fine], weight)
        self.set_moments(loc, tril)
        return self


def match(
    loc: Tensor, tril: Tensor, draws: Tensor, scores: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Return mean and Cholesky factor of the normal whose scores match, near the last one.

    The proximal point of the score-based divergence (Cai et al. 2024, algorithm 1).

    Args:
        loc: The mean of the last normal, shape ``(dim,)``.
        tril: The Cholesky factor of its covariance.
        draws: Shape ``(draw, dim)``.
        scores: The gradients of the log density there.
        weight: How much the scores count against the last normal, ``lambda`` in the paper.
    """
    like, share = loc, weight / (1 + weight)
    loc, tril, draws, scores = (x.double() for x in (loc, tril, draws, scores))
    mean, slope = draws.mean(0), scores.mean(0)
    u = weight * _scatter(scores - slope) + share * torch.outer(slope, slope)
    gap = loc - mean
    v = tril @ tril.mT + weight * _scatter(draws - mean) + share * torch.outer(gap, gap)
    root = torch.linalg.cholesky(v)
    values, vectors = torch.linalg.eigh(root.mT @ u @ root)
    # covariance @ u @ covariance + covariance = v
    half = root @ vectors * (2 / (1 + (1 + 4 * values.clamp(min=0)).sqrt())).sqrt()
    covariance = half @ half.mT
    loc = loc / (1 + weight) + share * (covariance @ slope + mean)
    return loc.to(like), torch.linalg.cholesky(covariance).to(like)


def _scatter(deviations: Tensor) -> Tensor:
    return deviations.mT @ deviations / len(deviations)
