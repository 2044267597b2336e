"""A guide that is found along the way to the mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.distributions as dist
from ppl.errors import NotFiniteError, NotRunError
from ppl.infer.arguments import positive_int
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.systematic import systematic_resample
from ppl.nn import pyro_method
from ppl.ops.pareto import psis
from ppl.validation import validation_enabled

from .auto_continuous import AutoContinuous
from .balanced_noise import balanced_noise
from .guide import CreatePlates
from .levels import mixture_quantiles, probabilities
from .pathfinder import find_normals
from .quasi_newton_normal import QuasiNewtonNormal
from .vector_density import BatchedDensity, VectorDensity

MAX_STARTS = 100  # tries to find a point with a density, for each path


class AutoPathfinder(AutoContinuous):
    """Normals that L-BFGS passes on its way to a mode, the best of each path: no steps of SVI.

    :meth:`fit` follows several paths at once, each from a start of its own. At each point the
    optimizer knows a curvature, and so a normal; the one with the largest ELBO is kept. The guide
    is the mixture of the normals of all paths, weighted by what importance sampling finds under
    each of them (Zhang et al. 2022, "Pathfinder: parallel quasi-Newton variational inference").
    Needs a hundred evaluations or so, where SVI needs thousands; the model has to see all data.

    Args:
        model: The model.
        init_loc_fn: A strategy for the starts of the paths.
        num_paths: How many paths.
        memory: From how many steps the curvature is learned.
        max_iterations: The largest number of steps of a path.
        num_elbo_draws: How many draws estimate an ELBO.
        num_draws: How many draws of each path are weighted, and are kept of all paths.

    Attributes:
        draws: What :meth:`fit` found: the draws of all paths, resampled by their smoothed
            importance weights, of shape ``(num_draws, latent_dim)``.
        pareto_k: How heavy the tail of these weights is, see :class:`GuideDiagnostics`.

    Raises:
        SiteError: If a number is not a positive integer.

    Example:
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model():
        ...     z = sample("z", dist.Normal(torch.zeros(2, dtype=torch.double), 3.0).to_event(1))
        ...     sample("x", dist.Normal(z.sum(), 1.0), obs=torch.tensor(19.0).double())
        >>> guide = AutoPathfinder(model).fit()
        >>> guide.median()["z"].round(decimals=3)
        tensor([9., 9.], dtype=torch.float64)
    """

    loc: Tensor
    scale: Tensor
    basis: Tensor
    root: Tensor
    weights: Tensor
    draws: Tensor
    pareto_k: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Strategy = init_to_uniform,
        num_paths: int = 4,
        *,
        memory: int = 6,
        max_iterations: int = 1000,
        num_elbo_draws: int = 25,
        num_draws: int = 1000,
        create_plates: CreatePlates | None = None,
    ) -> None:
        super().__init__(model, init_loc_fn, create_plates=create_plates)
        self.num_paths: int = positive_int("num_paths", num_paths)
        self.memory: int = positive_int("memory", memory)
        self.max_iterations: int = positive_int("max_iterations", max_iterations)
        self.num_elbo_draws: int = positive_int("num_elbo_draws", num_elbo_draws)
        self.num_draws: int = positive_int("num_draws", num_draws)

    def _setup_latent(self, loc: Tensor) -> None:
        rank, paths = min(2 * self.memory, len(loc)), self.num_paths
        first = {
            "loc": loc.repeat(paths, 1),
            "scale": loc.new_ones(paths, len(loc)),
            "basis": loc.new_zeros(paths, len(loc), rank),
            "root": torch.eye(rank).to(loc).repeat(paths, 1, 1),
            "weights": loc.new_zeros(paths),  # until it is fitted
            "draws": loc.repeat(self.num_draws, 1),
            "pareto_k": loc.new_full((), math.inf),
        }
        for name, value in first.items():
            self.register_buffer(name, value)

    @torch.no_grad()
    @validation_enabled(False)
    def fit(self, *args: Any, **kwargs: Any) -> AutoPathfinder:
        """Find the paths and their normals, and return the guide.

        Args:
            args: The arguments of the model, with all of the data.
            kwargs: The same by name.

        Raises:
            ArgumentError: If a plate is subsampled.
            UnsupportedModelError: If the model draws at random besides the sites of the guide.
            NotFiniteError: If there is no start with a finite density and gradient, or no normal
                whose draws have one.
        """
        self.setup(*args, **kwargs)
        density = VectorDensity(self, args, kwargs)
        start = self._starts(density, args, kwargs)
        paths = BatchedDensity(density, start)
        many = BatchedDensity(density, start.repeat(self.num_elbo_draws, 1))
        best = find_normals(
            paths, lambda q: self._elbo(many, q), start, self.memory, self.max_iterations
        )
        if not bool((best.elbo > -math.inf).any()):
            raise NotFiniteError(
                "no normal along the paths has draws with a finite density; start nearer to the "
                "posterior by init_loc_fn, or use more paths"
            )
        self._keep(best.normal, many, best.elbo > -math.inf)
        return self

    def _starts(
        self, density: VectorDensity, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """Return points with finite density and gradient, shape ``(path, latent_dim)``."""
        found: list[Tensor] = []
        gradient = torch.func.grad_and_value(density)
        for _ in range(MAX_STARTS * self.num_paths):
            vector = self._vector_of(self._run_model(args, kwargs))
            slope, value = gradient(vector)
            if bool(value.isfinite()) and bool(slope.isfinite().all()):
                found.append(vector)
            if len(found) == self.num_paths:
                return torch.stack(found)
        raise NotFiniteError(
            f"no start with a finite density and gradient in {MAX_STARTS * self.num_paths} tries; "
            "check the model with ppl.check, or pass another init_loc_fn"
        )

    def _elbo(self, density: BatchedDensity, normal: QuasiNewtonNormal) -> Tensor:
        """Return the ELBO of each path, -inf where a draw has no density."""
        draws = normal.transport(balanced_noise(self.num_elbo_draws, normal.loc))
        elbo = (_at(draws, density) - normal.log_prob(draws)).mean(0)
        return elbo.nan_to_num(-math.inf, -math.inf, -math.inf)

    def _keep(self, normal: QuasiNewtonNormal, density: BatchedDensity, fine: Tensor) -> None:
        """Weight the paths and their draws, and keep what was found.

        The weights are over the mixture of all paths, not over that which a draw comes from: they
        vary less, and one path that misses a tail does no harm (Owen and Zhou 2000, "Safe and
        effective importance sampling", section 2.2).
        """
        rounds = math.ceil(self.num_draws / self.num_elbo_draws)
        blocks = [normal.rsample((self.num_elbo_draws,)) for _ in range(rounds)]
        draws = torch.cat(blocks).transpose(0, 1)  # (path, draw, dim)
        log_density = torch.cat([_at(block, density) for block in blocks]).mT
        all_paths = (
            normal.log_prob(draws.unsqueeze(-2)).where(fine, -math.inf).logsumexp(-1)
        )  # (path, draw)
        ratios = (log_density - all_paths).nan_to_num(-math.inf, -math.inf, -math.inf)
        smoothed, k = psis(ratios.where(fine[:, None], -math.inf).flatten().double())
        index = systematic_resample(smoothed, self.num_draws)
        values = {
            "loc": normal.loc,
            "scale": normal.scale,
            "basis": normal.basis,
            "root": normal.root,
            "weights": smoothed.exp().unflatten(0, ratios.shape).sum(1),
            "draws": draws.flatten(0, 1)[index],
            "pareto_k": k,
        }
        for name, value in values.items():
            getattr(self, name).copy_(value)

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the vector: a normal, or a mixture of them.

        Raises:
            NotRunError: If the guide has not been fitted.
        """
        normals = self._normals()
        if self.num_paths == 1:
            loc, scale, basis, root = (x[0] for x in normals.parts())
            return QuasiNewtonNormal(loc, scale, basis, root)
        return dist.MixtureSameFamily(dist.Categorical(self.weights), normals)

    def get_samples(self) -> dict[str, Tensor]:
        """Return the resampled draws by site, on the constrained scale, shape ``(draw, *site)``."""
        self._normals()
        return self._constrain(self.draws)

    def _normals(self) -> QuasiNewtonNormal:
        self._latent_sites()
        if not bool(self.weights.any()):
            raise NotRunError(
                "the guide has found no normal yet: call fit() with the arguments of the model"
            )
        return QuasiNewtonNormal(self.loc, self.scale, self.basis, self.root)

    def _vector_quantiles(
        self,
        quantiles: Sequence[float] | Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        normals = self._normals()
        levels = probabilities(quantiles, self.loc)
        return mixture_quantiles(levels, self.weights, normals.mean, normals.stddev)

    def _covariance(self) -> Tensor:
        normals = self._normals()
        gap = normals.mean - self.weights @ normals.mean
        inside = normals.covariance_matrix + gap.unsqueeze(-1) * gap.unsqueeze(-2)
        return (self.weights[:, None, None] * inside).sum(0)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
        """Return one of the resampled draws by site."""
        self._normals()
        index = torch.randint(len(self.draws), ())
        return self._constrain(self.draws[index])


def _at(draws: Tensor, density: BatchedDensity) -> Tensor:
    """Return the log densities ``(draw, path)`` of draws ``(draw, path, dim)``."""
    value, _ = density(draws.flatten(0, 1))
    return value.reshape(draws.shape[:2])
