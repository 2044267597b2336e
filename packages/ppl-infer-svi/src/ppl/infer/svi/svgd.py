"""Stein variational gradient descent: particles that move to the posterior together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.poutine as poutine
from ppl.distribution.util import scale_and_mask, sum_rightmost
from ppl.errors import ArgumentError, UnsupportedModelError
from ppl.infer.arguments import positive_int
from ppl.infer.particles import vectorize as vectorize
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import site_is_subsample

Model = Callable[..., Any]


class SteinKernel(ABC):
    """A kernel of :class:`SVGD`, the product of kernels of single coordinates."""

    def __init__(self, bandwidth_factor: float | None = None) -> None:
        self.bandwidth_factor = bandwidth_factor

    @property
    def bandwidth_factor(self) -> float | None:
        """What the bandwidth chosen from the particles is multiplied with; None for 1."""
        return self._bandwidth_factor

    @bandwidth_factor.setter
    def bandwidth_factor(self, factor: float | None) -> None:
        if factor is not None and not factor > 0:
            raise ArgumentError(f"bandwidth_factor must be positive, got {factor}")
        self._bandwidth_factor = factor

    @abstractmethod
    def log_kernel_and_grad(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the kernels of coordinates, and their gradients.

        Args:
            particles: Shape ``(n, dim)``.

        Returns:
            ``log k(x[i, d], x[j, d])`` and its derivative with respect to ``x[j, d]``, both of
            shape ``(n, n, dim)``.
        """

    def _scaled(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        """Return differences ``x[i] - x[j]`` and bandwidths: median square over ``log n``.

        The heuristic of Liu & Wang (2016), coordinate by coordinate.
        """
        difference = particles[:, None] - particles
        n = len(particles)
        pairs = difference[tuple(torch.triu_indices(n, n, offset=1))] if n > 1 else difference[0]
        median = pairs.detach().square().median(0).values.clamp(min=torch.finfo(pairs.dtype).tiny)
        factor = 1.0 if self.bandwidth_factor is None else self.bandwidth_factor
        return difference, factor * median / torch.tensor(float(max(n, 2))).log()


class RBFSteinKernel(SteinKernel):
    """``exp(-(x - y)**2 / h)``, with the bandwidth ``h`` of Liu & Wang (2016).

    Args:
        bandwidth_factor: What ``h`` is multiplied with, positive; None for 1.
    """

    def log_kernel_and_grad(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        difference, bandwidth = self._scaled(particles)
        return -difference.square() / bandwidth, 2 * difference / bandwidth


class IMQSteinKernel(SteinKernel):
    """``(alpha + (x - y)**2 / h) ** beta``, inverse multiquadratic (Chen et al. 2018).

    Args:
        alpha: Positive.
        beta: Negative.
        bandwidth_factor: What the bandwidth ``h`` is multiplied with, positive; None for 1.
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = -0.5, bandwidth_factor: float | None = None
    ) -> None:
        if not (alpha > 0 and beta < 0):
            raise ArgumentError(f"alpha must be positive and beta negative, got {alpha} and {beta}")
        self.alpha = alpha
        self.beta = beta
        super().__init__(bandwidth_factor)

    def log_kernel_and_grad(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        difference, bandwidth = self._scaled(particles)
        base = self.alpha + difference.square() / bandwidth
        return self.beta * base.log(), -2 * self.beta * difference / (bandwidth * base)


class SVGD:
    """Stein variational gradient descent (Liu & Wang 2016).

    Particles are drawn from the prior and then follow the gradient of the log density, smoothed by
    a kernel, and that of the kernel, which holds them apart. They move on the unconstrained scale.

    Args:
        model: The model, fully vectorized, with continuous latent sites only.
        kernel: A :class:`SteinKernel`.
        optim: An optimizer of ``ppl.optim``.
        num_particles: How many particles.
        max_plate_nesting: The number of batch dimensions that the plates of the model use.
        mode: Test functions of single coordinates ("univariate", the kernelized complete
            conditional Stein discrepancy of Singhal et al. 2019), or of all ("multivariate").

    Raises:
        ArgumentError: If an argument is none of these.

    Example:
        >>> import ppl, ppl.distributions as dist
        >>> from ppl.optim import Adam
        >>> ppl.clear_param_store(); ppl.set_rng_seed(0)
        >>> def model():
        ...     ppl.sample("z", dist.Normal(2.0, 1.0))
        >>> svgd = SVGD(model, RBFSteinKernel(), Adam({"lr": 0.1}), 32, max_plate_nesting=0)
        >>> for _ in range(200):
        ...     _ = svgd.step()
        >>> z = svgd.get_named_particles()["z"]
        >>> z.shape, bool(abs(z.mean() - 2.0) < 0.2)
        (torch.Size([32]), True)
    """

    def __init__(
        self,
        model: Model,
        kernel: SteinKernel,
        optim: Callable[..., Any],
        num_particles: int,
        max_plate_nesting: int,
        mode: Literal["univariate", "multivariate"] = "univariate",
    ) -> None:
        if not isinstance(kernel, SteinKernel):
            raise ArgumentError(f"kernel must be a SteinKernel, got {kernel!r}")
        if mode not in ("univariate", "multivariate"):
            raise ArgumentError(f"mode must be 'univariate' or 'multivariate', got {mode!r}")
        self.model = model
        self.kernel = kernel
        self.optim = optim
        self.mode = mode
        self.num_particles: int = positive_int("num_particles", num_particles)
        self.max_plate_nesting: int = positive_int(
            "max_plate_nesting", max_plate_nesting, at_least=0
        )
        self._together = vectorize(model, self.num_particles, self.max_plate_nesting)
        self._particles = _Particles()

    def get_named_particles(self) -> dict[str, Tensor]:
        """Return the particles by site, constrained, shape ``(num_particles, *site)``."""
        values = self._particles.values()
        return {name: _squeezed(x, self.num_particles) for name, x in values.items()}

    def step(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Move all particles once; the arguments are those of the model.

        Returns:
            The mean square of what the particles of each site were told to move, on the
            unconstrained scale: a measure of convergence.
        """
        with self._particles:
            trace = poutine.trace(self._together).get_trace(*args, **kwargs)
        unconstrained = self._particles.unconstrained
        if not unconstrained:
            raise UnsupportedModelError("the model has no latent sites, so nothing can move")
        log_prob = torch.as_tensor(trace.log_prob_sum() + self._particles.log_abs_det)
        scores = torch.autograd.grad(log_prob, list(unconstrained.values()))
        moves = self._moves(list(unconstrained.values()), list(scores))
        for u, move in zip(unconstrained.values(), moves, strict=True):
            u.grad = -move
        self.optim(unconstrained.values())
        for u in unconstrained.values():
            u.grad = None
        return {n: m.square().mean().item() for n, m in zip(unconstrained, moves, strict=True)}

    @torch.no_grad()
    def _moves(self, positions: list[Tensor], scores: list[Tensor]) -> list[Tensor]:
        """Return where the particles are to go (Liu & Wang 2016, equation 8), site by site."""
        x, score = (
            torch.cat([t.reshape(len(t), -1) for t in ts], -1) for ts in (positions, scores)
        )
        log_kernel, grad = self.kernel.log_kernel_and_grad(x)
        if self.mode == "multivariate":
            log_kernel = log_kernel.sum(-1, keepdim=True)
        moves = (log_kernel.exp() * (score + grad)).mean(1)
        parts = moves.split([p[0].numel() for p in positions], -1)
        return [part.reshape(p.shape) for part, p in zip(parts, positions, strict=True)]


class _Particles(Messenger):
    """Puts a particle's value at every latent site; the first run draws them from the prior.

    Attributes:
        unconstrained: Shape ``(num_particles, *unconstrained site)`` by site.
        log_abs_det: The log Jacobian determinants of the last run, scaled as their sites.
    """

    def __init__(self) -> None:
        self.unconstrained: dict[str, Tensor] = {}
        self.log_abs_det: Tensor | float = 0.0
        self._transforms: dict[str, Any] = {}

    def __enter__(self) -> _Particles:
        self.log_abs_det = 0.0
        return super().__enter__()

    def values(self) -> dict[str, Tensor]:
        """Return the constrained values by site."""
        return {name: self._transforms[name](u.detach()) for name, u in self.unconstrained.items()}

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or site_is_subsample(msg):
            return
        name, fn = msg["name"], msg["fn"]
        if fn.support.is_discrete:
            raise UnsupportedModelError(
                f"site {name!r} is discrete and particles follow gradients: marginalize it, or "
                "observe it",
                site=name,
            )
        transform = self._transforms.setdefault(name, biject_to(fn.support))
        if name not in self.unconstrained:
            self.unconstrained[name] = transform.inv(fn()).detach().requires_grad_()
        u = self.unconstrained[name]
        msg["value"], msg["done"] = transform(u), True
        jacobian = transform.log_abs_det_jacobian(u, msg["value"])
        batch_dims = msg["value"].dim() - fn.event_dim
        jacobian = sum_rightmost(jacobian, jacobian.dim() - batch_dims)
        self.log_abs_det = (
            self.log_abs_det + scale_and_mask(jacobian, msg["scale"], msg["mask"]).sum()
        )


def _as_rows(values: list[Tensor]) -> Tensor:
    """Return values of sites, each with the particles in front, as ``(particle, number)``."""
    return torch.cat([value.reshape(len(value), -1) for value in values], -1)


def _squeezed(value: Tensor, num_particles: int) -> Tensor:
    """Return particles without the dimensions of plates that a site is not in."""
    while value.dim() > 1 and value.shape[1] == 1 and len(value) == num_particles:
        value = value.squeeze(1)
    return value
