"""A guide that lets draws of a normal move towards the posterior by Hamiltonian dynamics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

import ppl.distributions as dist
from ppl.distributions import constraints
from ppl.errors import SupportError
from ppl.infer.arguments import positive_int
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.nn import PyroParam, pyro_method
from ppl.ops.stats import quantile
from ppl.primitives import plate, sample
from ppl.randomness import seeded
from ppl.validation import validation_enabled

from .auto_continuous import AutoContinuous
from .first_scale import positive_scale
from .guide import CreatePlates
from .levels import probabilities
from .vector_density import VectorDensity

NUM_DRAWS = 2000  # that quantiles are estimated from


class AutoDAIS(AutoContinuous):
    """Differentiable annealed importance sampling: a normal, and ``K`` steps towards the posterior.

    A draw of a normal gets a random momentum and moves by ``K`` leapfrogs of Hamiltonian dynamics,
    whose density goes over from the normal to the posterior; no step is rejected, so that normal,
    step size and damping learn by the gradient of the ELBO. That is at least the one of the
    normal, and the tighter the more steps there are (Geffner and Domke 2021, "MCMC variational
    inference via uncorrected Hamiltonian annealing"; Zhang et al. 2021, "Differentiable annealed
    importance sampling and the perils of gradient noise", algorithm 2). The guide sees the density
    of the model, hence all of its data. Its draws have no density of their own: ELBO and weights
    are those of whole trajectories.

    Quantiles and medians are estimates, from two thousand draws that are the same each time; they
    need the arguments of the model.

    Args:
        model: The model.
        K: How many leapfrogs.
        base_dist: Whether the normal has a "diagonal" covariance or any, by its "cholesky" factor.
        eta_init: The first step size.
        eta_max: The largest step size that can be learned.
        gamma_init: The first damping: which part of the momentum outlives a step.
        init_loc_fn: A strategy for the first location of the normal.
        init_scale: The first standard deviation of its components.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SiteError: If ``K`` is not a positive integer.
        SupportError: If another number is out of range, or ``base_dist`` is something else.

    Example:
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model(data):
        ...     z = sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        ...     sample("y", dist.Normal(z.sum(), 1.0), obs=data)
        >>> guide = AutoDAIS(model, K=2)
        >>> tuple(guide(torch.tensor(1.0))["z"].shape)
        (2,)
    """

    loc: Tensor
    scale: Tensor
    scale_tril: Tensor
    eta: Tensor
    gamma: Tensor
    inverse_mass: Tensor
    increments: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        K: int = 4,
        base_dist: Literal["diagonal", "cholesky"] = "diagonal",
        eta_init: float = 0.01,
        eta_max: float = 0.1,
        gamma_init: float = 0.9,
        init_loc_fn: Strategy = init_to_uniform,
        init_scale: float = 0.1,
        create_plates: CreatePlates | None = None,
    ) -> None:
        super().__init__(model, init_loc_fn, create_plates=create_plates)
        if base_dist not in ("diagonal", "cholesky"):
            raise SupportError(f'base_dist must be "diagonal" or "cholesky", got {base_dist!r}')
        if not 0 < eta_init < eta_max:
            raise SupportError(
                f"eta_init must be between 0 and eta_max, got {eta_init!r} and {eta_max!r}"
            )
        if not 0 < gamma_init < 1:
            raise SupportError(f"gamma_init must be between 0 and 1, got {gamma_init!r}")
        self.K: int = positive_int("K", K)
        self.base_dist: str = base_dist
        self._first = (eta_init, eta_max, gamma_init, positive_scale(init_scale))

    def _setup_latent(self, loc: Tensor) -> None:
        eta, eta_max, gamma, scale = self._first
        self.loc = torch.nn.Parameter(loc)
        declared: dict[str, tuple[Tensor, Any]] = {
            "scale": (torch.full_like(loc, scale), constraints.softplus_positive),
            "eta": (loc.new_tensor(eta), constraints.interval(0.0, eta_max)),
            "gamma": (loc.new_tensor(gamma), constraints.unit_interval),
            "inverse_mass": (torch.ones_like(loc), constraints.softplus_positive),
            "increments": (loc.new_full((self.K,), 1 / self.K), constraints.simplex),
        }
        if self.base_dist == "cholesky":
            eye = torch.eye(len(loc)).to(loc)
            declared["scale_tril"] = (eye, constraints.unit_lower_cholesky)
        for name, (value, constraint) in declared.items():
            setattr(self, name, PyroParam(value, constraint))

    @pyro_method
    def get_base_dist(self) -> Any:
        """Return the normal that trajectories start from."""
        self._latent_sites()
        if self.base_dist == "diagonal":
            return dist.Normal(self.loc, self.scale).to_event(1)
        return dist.MultivariateNormal(
            self.loc, scale_tril=self.scale.unsqueeze(-1) * self.scale_tril
        )

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: where trajectories end has no density in closed form.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no density of its draws; get_base_dist() is where they "
            "start, and Predictive(guide, num_samples=...) draws where they end"
        )

    @pyro_method
    def sample_latent(self, *args: Any, **kwargs: Any) -> Tensor:
        """Sample where a trajectory ends, as an auxiliary site, and its start and momenta before.

        The end counts with the density of the noise given the end, run backwards: the densities of
        all three sites are those of the extended space (Geffner and Domke 2021, equation 14).
        """
        base, auxiliary = self.get_base_dist(), {"is_auxiliary": True}
        name = f"_{self._pyro_name}"
        start = sample(f"{name}_start", base, infer=auxiliary)
        zero = torch.zeros_like(self.loc).expand(self.K, -1)
        standard = dist.Normal(zero, torch.ones_like(zero)).to_event(2)
        noise = sample(f"{name}_momenta", standard, infer=auxiliary)
        slope = self._slope_of(VectorDensity(self, args, kwargs), base)
        end, log_ratio = self._move(start, noise, slope)
        density = log_ratio - standard.log_prob(noise)
        point = dist.Delta(end, log_density=density, event_dim=1)
        latent: Tensor = sample(f"{name}_latent", point, infer=auxiliary)
        return latent

    def _slope_of(self, density: VectorDensity, base: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the gradient of the annealed density, at vectors and a share of the posterior."""
        together = torch.func.vmap(torch.func.grad(density), randomness="different")
        of_base = torch.func.grad(lambda x: base.log_prob(x).sum())

        def slope(vectors: Tensor, share: Tensor) -> Tensor:
            with validation_enabled(False):
                flat: Tensor = together(vectors.reshape(-1, vectors.shape[-1]))
                of_start: Tensor = of_base(vectors)
                return share * flat.reshape(vectors.shape) + (1 - share) * of_start

        return slope

    def _move(
        self, start: Tensor, noise: Tensor, slope: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return where trajectories end, and the log ratio of momenta before and after the steps.

        Args:
            start: Shape ``(*batch, dim)``.
            noise: Shape ``(*batch, K, dim)``.
            slope: See :meth:`_slope_of`.
        """
        step = self.eta * self.inverse_mass.sqrt()
        here, momentum = start, noise[..., 0, :]
        log_ratio: Any = 0.0
        for k, share in enumerate(self.increments.cumsum(0)):
            if k:
                fresh = (1 - self.gamma.square()).sqrt() * noise[..., k, :]
                momentum = self.gamma * momentum + fresh
            log_ratio = log_ratio - 0.5 * momentum.square().sum(-1)
            here = here + step / 2 * momentum
            momentum = momentum + step * slope(here, share)
            here = here + step / 2 * momentum
            log_ratio = log_ratio + 0.5 * momentum.square().sum(-1)
        return here, log_ratio

    def _vector_quantiles(
        self,
        quantiles: Sequence[float] | Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        self.setup(*args, **kwargs)
        with seeded(0), plate("draws", NUM_DRAWS):
            draws = self.sample_latent(*args, **kwargs)
        return quantile(draws.detach(), probabilities(quantiles, self.loc), dim=0)
