"""A normal guide whose precision is sparse where the posterior is conditionally independent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError
from ppl.infer.initialization import Strategy, init_to_feasible

from .auto_diagonal_normal import AutoDiagonalNormal
from .auto_multivariate_normal import AutoMultivariateNormal
from .constrained import unconstrained_event_dim
from .dependencies import Factors, factors
from .guide import CreatePlates


class AutoGaussian(AutoMultivariateNormal):
    """A normal over all latent sites with the conditional independences of the posterior.

    On the unconstrained scale the precision is ``B.T @ B`` for a matrix ``B`` that is triangular in
    the order of the model, with a row for each component: nonzero where the component depends on
    one before it, when all later ones are integrated out (Tan and Nott 2018, "Gaussian variational
    approximation with sparse precision matrices"; Webb et al. 2018, "Faithful inversion of
    generative models"). So a plate of ``n`` local sites below a few global ones needs ``O(n)``
    parameters, not ``O(n**2)``; a draw costs ``O(dim**3)`` none the less. Sites that many others
    depend on should come first in the model.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        init_scale: The first standard deviation of each component.
        backend: ``"dense"``, or None for the same.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.
        ArgumentError: If ``backend`` is another.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import plate, sample
        >>> def model():
        ...     a = sample("a", dist.Normal(0.0, 1.0))
        ...     with plate("rows", 10):
        ...         sample("b", dist.Normal(a, 1.0))
        >>> guide = AutoGaussian(model)
        >>> guide.setup()
        >>> guide.latent_dim, guide.coefficients.shape
        (11, torch.Size([10]))
    """

    coefficients: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Strategy = init_to_feasible,
        init_scale: float = 0.1,
        *,
        backend: str | None = None,
        create_plates: CreatePlates | None = None,
    ) -> None:
        if backend not in (None, "dense"):
            raise ArgumentError(f'backend must be "dense", which needs nothing, got {backend!r}')
        super().__init__(model, init_loc_fn, init_scale, create_plates=create_plates)

    def _setup_sites(self, *args: Any, **kwargs: Any) -> None:
        at_start = poutine.replay(self.model, trace=self.prototype_trace)
        names = [name for name, _ in self._latent_sites()]
        self._factors: Factors = factors(at_start, names, *args, **kwargs)
        super()._setup_sites(*args, **kwargs)

    def _setup_latent(self, loc: Tensor) -> None:
        AutoDiagonalNormal._setup_latent(self, loc)
        places = eliminate(self._joined()).nonzero().T.to(loc.device)
        self.register_buffer("_places", places, persistent=False)  # rows and columns
        self.coefficients = torch.nn.Parameter(loc.new_zeros(places.shape[1]))

    def _cholesky(self) -> Tensor:
        """The factor of the covariance, which is lower triangular as its inverse is."""
        eye = torch.eye(self.latent_dim, dtype=self.scale.dtype, device=self.scale.device)
        root = eye.index_put(tuple(self._places), self.coefficients)
        inverse: Tensor = torch.linalg.solve_triangular(root, eye, upper=False, unitriangular=True)
        return self.scale.unsqueeze(-1) * inverse

    def _joined(self) -> Tensor:
        """Which pairs of components are in the density of one element of a site."""
        nodes: Any = self.prototype_trace.nodes  # type: ignore[union-attr]
        places = dict(zip(self.layout.names, self._plate_places(), strict=True))
        starts = dict(
            zip(
                self.layout.names,
                torch.arange(self.latent_dim).split(self.layout.sizes),
                strict=True,
            )
        )
        joined = torch.zeros(self.latent_dim, self.latent_dim, dtype=torch.bool)
        for name, latent in self._factors.items():
            plates = {frame.name for frame in nodes[name]["cond_indep_stack"]}
            for one in latent:
                for other in latent:
                    together = torch.ones(len(starts[one]), len(starts[other]), dtype=torch.bool)
                    for p in plates & places[one].keys() & places[other].keys():
                        together &= places[one][p].unsqueeze(-1) == places[other][p]
                    joined[starts[one].unsqueeze(-1), starts[other]] |= together
        return joined

    def _plate_places(self) -> list[dict[str, Tensor]]:
        """For each site, which element of each plate its components belong to."""
        result = []
        for (_, site), shape in zip(self._latent_sites(), self.layout.shapes, strict=True):
            event_dim = unconstrained_event_dim(site)
            places = {}
            for frame in site["cond_indep_stack"]:
                dim = frame.dim - event_dim
                index = torch.arange(shape[dim]).reshape(-1, *[1] * (-dim - 1))
                places[frame.name] = index.expand(shape).flatten()
            result.append(places)
        return result


def eliminate(joined: Tensor) -> Tensor:
    """Return which components each one depends on among those before it, the later ones gone.

    Args:
        joined: Which pairs are joined, shape ``(dim, dim)``, symmetric.

    Returns:
        A strictly lower triangle of booleans.

    Example:
        >>> joined = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 1]]).bool()
        >>> eliminate(joined).int().tolist()
        [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """
    joined = joined.clone()
    for i in reversed(range(len(joined))):
        before = joined[i, :i].nonzero().squeeze(-1)
        joined[before.unsqueeze(-1), before] = True
    return joined.tril(-1)
