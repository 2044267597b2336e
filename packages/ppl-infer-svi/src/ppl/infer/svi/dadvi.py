"""Deterministic variational inference: fixed draws, a quasi-Newton optimizer, no learning rate."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.engine import CaptureError, record
from ppl.errors import ArgumentError, NotFiniteError, PPLError, UnsupportedModelError, warn
from ppl.infer.arguments import positive_int
from ppl.poutine.util import site_is_subsample
from ppl.randomness import get_rng_state, set_rng_state

from .svgd import _Particles as AtPosition

Objective = Callable[[Tensor, Tensor], Tensor]
FIRST_LOG_SCALE = -2.0
STEPS_OF_A_CALL = 20  # between two looks whether it has converged
NOT_FINITE = 1e20  # what the line search sees in the place of nan and infinity


class NotAMinimumError(PPLError, RuntimeError):
    """The curvature at the end of a fit is not that of a minimum."""


class DADVI:
    """Fits independent normals on the unconstrained scale to a posterior, by deterministic ADVI.

    The expectation in the ELBO is replaced by a mean over draws that are fixed, so that there is a
    function to minimize: by L-BFGS, to convergence, without learning rate or noise. The fixed draws
    also give what noise would hide: the covariance by linear response, far better than that of the
    normals themselves, and the error that is due to the number of draws.

    Args:
        model: The model, with continuous latent sites only, and all data.
        num_draws: How many draws are fixed, an even number: they come in pairs of opposites, which
            make means and covariance exact where the posterior is normal.
        seed: Of these draws.
        max_steps: The most steps of L-BFGS, after which a warning says that it has not converged.
        tolerance: It has, once moving any mean by its standard deviation, or any log standard
            deviation by one, changes the loss to first order by less than this, in nats.

    References:
        Giordano, Ingram & Broderick 2024, "Black box variational inference with a deterministic
        objective: faster, more accurate, and even more black box".

    Example:
        >>> import ppl, ppl.distributions as dist
        >>> def model(x):
        ...     z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ...     ppl.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> posterior = DADVI(model).fit(torch.tensor(2.0))
        >>> round(posterior.covariance.item(), 3)
        0.5
    """

    def __init__(
        self,
        model: Callable[..., Any],
        num_draws: int = 30,
        seed: int = 0,
        max_steps: int = 1000,
        tolerance: float = 1e-3,
    ) -> None:
        if not callable(model):
            raise ArgumentError(f"model must be a program, got {model!r}")
        if not tolerance > 0:
            raise ArgumentError(f"tolerance must be positive, got {tolerance!r}")
        self.model: Callable[..., Any]
        self.seed: int
        self.tolerance: float
        self.model, self.seed, self.tolerance = model, seed, tolerance
        self.num_draws: int = positive_int("num_draws", num_draws, at_least=4)
        if self.num_draws % 2:
            raise ArgumentError(f"num_draws must be even, got {num_draws}")
        self.max_steps: int = positive_int("max_steps", max_steps)

    def fit(self, *args: Any, **kwargs: Any) -> DADVIPosterior:
        """Return the fitted normals; the arguments are those of the model.

        Raises:
            UnsupportedModelError: If the model has discrete latent sites, or subsamples.
            NotFiniteError: If the log density is not finite where the fit begins.
        """
        density = _Density(self.model, args, kwargs)
        draws = self._draws(density.first)

        def objective(center_and_log_scale: Tensor, draws: Tensor) -> Tensor:
            center, log_scale = center_and_log_scale.chunk(2)
            logs = torch.func.vmap(density)(center + log_scale.exp() * draws)
            return -logs.mean() - log_scale.sum()

        first = torch.zeros(2 * len(density.first), dtype=density.first.dtype)
        first[len(density.first) :] = FIRST_LOG_SCALE
        end = _minimize(_recorded(objective, first, draws), first, self.max_steps, self._is_done)
        if not end.is_converged:
            cure = (
                "raise max_steps, or look for parameters that the data do not tell apart"
                if end.num_steps >= self.max_steps
                else "the loss falls no further: use float64, or raise tolerance"
            )
            warn(f"DADVI has not converged after {end.num_steps} steps; {cure}")
        return DADVIPosterior(density, objective, draws, end)

    def _draws(self, like: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        half = torch.randn(self.num_draws // 2, len(like), generator=generator, dtype=like.dtype)
        return torch.stack([half, -half], 1).flatten(0, 1)  # pairs

    def _is_done(self, position: Tensor, gradient: Tensor) -> bool:
        log_scale = position.chunk(2)[1]
        units = torch.cat([log_scale.exp(), torch.ones_like(log_scale)])
        return bool((units * gradient).abs().max() <= self.tolerance)


class DADVIPosterior:
    """What :meth:`DADVI.fit` returns.

    Attributes:
        center: The means of all coordinates on the unconstrained scale, shape ``(dim,)``.
        scale: The standard deviations of the normals, too small where coordinates depend on each
            other; see `covariance`.
        loss: The value of the objective, minus the ELBO but for a constant, in nats.
        num_steps: How many steps of L-BFGS there were.
        is_converged: Whether they sufficed.
    """

    def __init__(self, density: _Density, objective: Objective, draws: Tensor, end: _End) -> None:
        self._density, self._objective, self._fixed, self._end = density, objective, draws, end
        self.center, log_scale = end.position.chunk(2)
        self.scale: Tensor = log_scale.exp()
        self.loss: float = end.loss
        self.num_steps: int = end.num_steps
        self.is_converged: bool = end.is_converged

    @property
    def covariance(self) -> Tensor:
        """The covariance by linear response, unconstrained, shape ``(dim, dim)``.

        It says how the means answer to a change of the model (Giordano et al. 2018, "Covariances,
        robustness, and variational Bayes"): exact where the posterior is normal.

        Raises:
            NotAMinimumError: If the fit did not end at a minimum.
        """
        dim = len(self.center)
        return self._inverse_curvature[:dim, :dim]

    @property
    def monte_carlo_error(self) -> Tensor:
        """The standard errors of `center` that are due to the number of draws, shape ``(dim,)``."""
        gradient = torch.func.grad(self._objective)
        pairs = self._fixed.unflatten(0, (-1, 2))
        alone = torch.func.vmap(lambda pair: gradient(self._end.position, pair))(pairs)
        moved = alone @ self._inverse_curvature
        error: Tensor = moved.std(0) / len(pairs) ** 0.5
        return error.chunk(2)[0]

    @cached_property
    def _inverse_curvature(self) -> Tensor:
        hessian = torch.func.hessian(self._objective)(self._end.position, self._fixed)
        root, failed = torch.linalg.cholesky_ex(hessian)
        if failed:
            raise NotAMinimumError(
                "the curvature at the end of the fit is not positive: it has not converged, or "
                "there are parameters that the data do not tell apart; raise max_steps or num_draws"
            )
        return torch.cholesky_inverse(root)

    def median(self) -> dict[str, Tensor]:
        """Return the medians of the normals by site, constrained."""
        return self._density.values(self.center)

    def sample(
        self,
        num_samples: int,
        covariance: Literal["linear response", "mean field"] = "linear response",
    ) -> dict[str, Tensor]:
        """Return draws by site, constrained, shape ``(num_samples, *site)``.

        Args:
            num_samples: How many; they are drawn from torch's generator.
            covariance: That of the normal distribution on the unconstrained scale.

        Raises:
            NotAMinimumError: If linear response is asked for, and the fit ended at no minimum.
        """
        if covariance not in ("linear response", "mean field"):
            raise ArgumentError(
                f"covariance must be 'linear response' or 'mean field', got {covariance!r}"
            )
        noise = torch.randn(num_samples, len(self.center), dtype=self.center.dtype)
        if covariance == "mean field":
            return torch.func.vmap(self._density.values)(self.center + self.scale * noise)
        root = torch.linalg.cholesky(self.covariance)
        return torch.func.vmap(self._density.values)(self.center + noise @ root.mT)


class _Density:
    """The log density of a model at points of the unconstrained scale, one vector each.

    Attributes:
        first: A point, for its length and dtype.
    """

    def __init__(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._model, self._args, self._kwargs = model, args, kwargs
        found = get_rng_state()
        at = AtPosition()
        with at:
            trace = poutine.trace(model).get_trace(*args, **kwargs)
        set_rng_state(found)
        _refuse_subsamples(trace)
        if not at.unconstrained:
            raise UnsupportedModelError("the model has no latent sites, so there is nothing to fit")
        self._parts = {name: u.detach() for name, u in at.unconstrained.items()}
        self._transforms = dict(at._transforms)
        self.first = torch.cat([u.reshape(-1) for u in self._parts.values()])

    def _split(self, position: Tensor) -> dict[str, Tensor]:
        pieces = position.split([u.numel() for u in self._parts.values()])
        pairs = zip(self._parts.items(), pieces, strict=True)
        return {name: piece.reshape(u.shape).to(u.dtype) for (name, u), piece in pairs}

    def __call__(self, position: Tensor) -> Tensor:
        """Return the log density with respect to the unconstrained scale, in nats."""
        at = AtPosition()
        at.unconstrained, at._transforms = self._split(position), dict(self._transforms)
        with at:
            trace = poutine.trace(self._model).get_trace(*self._args, **self._kwargs)
        return torch.as_tensor(trace.log_prob_sum() + at.log_abs_det)

    def values(self, position: Tensor) -> dict[str, Tensor]:
        """Return the constrained values by site."""
        return {name: self._transforms[name](u) for name, u in self._split(position).items()}


def _refuse_subsamples(trace: poutine.Trace) -> None:
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and site_is_subsample(site):
            size, taken = site["fn"].size, len(site["value"])
            if taken < size:
                raise UnsupportedModelError(
                    f"plate {name!r} has {taken} of {size} rows, and fixed draws need all of them; "
                    "use SVI for subsamples",
                    site=name,
                )


def _recorded(objective: Objective, first: Tensor, draws: Tensor) -> Callable[[Tensor], Any]:
    """Return the gradient and the value of the objective as a function of the position."""
    both = torch.func.grad_and_value(objective)
    gradient, value = both(first, draws)
    if not (gradient.isfinite().all() and value.isfinite()):
        raise NotFiniteError(
            "the log density or its gradient is not finite near the origin of the unconstrained "
            "scale, where the fit begins; look for logs of 0 and for nan in the data"
        )
    try:
        program: Callable[..., Any] = record(both, first, draws)
    except CaptureError as error:
        warn(f"DADVI runs without recording, which is slow: {error}")
        program = both
    return lambda position: program(position, draws)


class _End(NamedTuple):
    position: Tensor
    loss: float
    num_steps: int
    is_converged: bool


def _minimize(
    gradient_and_value: Callable[[Tensor], Any],
    first: Tensor,
    max_steps: int,
    is_done: Callable[[Tensor, Tensor], bool],
) -> _End:
    """Return where L-BFGS ends."""
    position = first.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [position],
        max_iter=STEPS_OF_A_CALL,
        max_eval=10 * STEPS_OF_A_CALL,
        history_size=50,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        with torch.no_grad():
            gradient, value = gradient_and_value(position.detach())
        is_finite = bool(value.isfinite()) and bool(gradient.isfinite().all())
        position.grad = gradient if is_finite else torch.zeros_like(gradient)
        return float(value) if is_finite else NOT_FINITE

    num_steps, done, before = 0, False, float("inf")
    while not done and num_steps < max_steps:
        search.param_groups[0]["max_iter"] = min(STEPS_OF_A_CALL, max_steps - num_steps)
        search.step(closure)
        num_steps += int(search.param_groups[0]["max_iter"])
        loss = closure()
        assert position.grad is not None
        done = is_done(position.detach(), position.grad)
        if not loss < before:
            break
        before = loss
    return _End(position.detach(), closure(), num_steps, done)
