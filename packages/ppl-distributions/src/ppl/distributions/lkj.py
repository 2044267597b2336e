"""Random correlation matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin

from .noise import sample_dirichlet, standard_normal


class LKJCholesky(torch.distributions.LKJCholesky, TorchDistributionMixin):
    """Lower Cholesky factor of a ``dim x dim`` correlation matrix.

    The matrix has density proportional to ``det ** (concentration - 1)``, uniform for 1
    (Lewandowski, Kurowicka and Joe 2009).
    """

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw by the onion method (their section 3.2), a row at a time.

        The part of row ``i`` left of the diagonal points in a uniform direction and has squared
        length Beta(i / 2, concentration + (dim - 1 - i) / 2).
        """
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            row = torch.arange(1, self.dim, dtype=self.concentration.dtype).to(self.concentration)
            tail = self.concentration.unsqueeze(-1) + (self.dim - 1 - row) / 2
            pairs = torch.stack([(row / 2).expand(tail.shape), tail], -1)
            length2 = sample_dirichlet(pairs.expand(shape[:-2] + pairs.shape[-2:]))
            noise = standard_normal(shape, tail).tril(-1)[..., 1:, :]
            left = noise / noise.norm(dim=-1, keepdim=True) * length2[..., :1].sqrt()
            first = torch.zeros_like(left[..., :1, :])
            diagonal = torch.cat([torch.ones_like(first[..., 0]), length2[..., 1].sqrt()], -1)
            return torch.cat([first, left], -2) + diagonal.diag_embed()
