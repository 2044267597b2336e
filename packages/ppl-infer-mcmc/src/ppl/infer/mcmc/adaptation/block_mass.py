"""A mass matrix of blocks that is learnt from the covariance of draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ppl.infer.mcmc.adaptation.mass_matrix import MassMatrix, Shapes, Values, Vectors, flat
from ppl.infer.mcmc.target.blocks import Names
from ppl.infer.mcmc.transition import metric
from ppl.infer.mcmc.transition.metric import Metric
from ppl.ops.welford import WelfordCovariance


class BlockMassMatrix(MassMatrix):
    """A mass matrix whose inverse is the covariance of draws, by blocks of sites.

    Args:
        init_scale: The multiple of the unit matrix that the inverse mass begins with.

    Example:
        >>> mass = BlockMassMatrix()
        >>> mass.configure({("x", "y"): (2, 2)})
        >>> for x, y in [(0.0, 0.0), (1.0, 2.0), (2.0, 4.0)]:
        ...     mass.update({"x": torch.tensor(x), "y": torch.tensor(y)}, {})
        >>> mass.end_adaptation()
        >>> mass.inverse_mass_matrix["x", "y"]  # shrunk: few draws
        tensor([[0.3756, 0.7500],
                [0.7500, 1.5006]])
    """

    def _begin(self, shapes: Shapes, options: Mapping[str, Any]) -> None:
        unit = {n: torch.ones(shape[0], **options) for n, shape in shapes.items()}
        self.inverse_mass_matrix = {
            names: self.init_scale * (unit[names] if len(shape) == 1 else unit[names].diag())
            for names, shape in shapes.items()
        }

    def _learn(self, z: Values, z_grad: Values) -> None:
        for names, running in self._moments.items():
            running.update(flat(z, names))

    def _renew(self) -> None:
        self.inverse_mass_matrix = {n: x.get_covariance() for n, x in self._moments.items()}

    @property
    def inverse_mass_matrix(self) -> Vectors:
        """The inverse mass of each block, ``(n, n)`` or ``(n,)``."""
        return {names: block.inverse[0] for names, block in self._metrics.items()}

    @inverse_mass_matrix.setter
    def inverse_mass_matrix(self, inverse: Mapping[Names, Tensor]) -> None:
        self._put(inverse)

    def _put(self, inverse: Mapping[Names, Tensor]) -> None:
        self._metrics = {tuple(names): _metric(block[None]) for names, block in inverse.items()}
        self._moments = {n: WelfordCovariance(x.dim() == 1) for n, x in inverse.items()}

    def _velocity(self, names: Names, momentum: Tensor) -> Tensor:
        return metric.velocity(self._metrics[names], momentum[None])[0]

    def _momentum(self, names: Names, normal: Tensor) -> Tensor:
        return metric.draw_momentum(self._metrics[names], normal[None])[0]

    def _normal(self, names: Names, momentum: Tensor) -> Tensor:
        return metric.whiten(self._metrics[names], momentum[None])[0]


def _metric(inverse: Tensor) -> Metric:
    return metric.dense(inverse) if inverse.dim() == 3 else metric.diagonal(inverse)
