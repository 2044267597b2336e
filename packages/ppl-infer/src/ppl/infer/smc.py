"""Sequential Monte Carlo from the prior to the posterior, through tempered likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import NotFiniteError, NotRunError, SiteError, UnsupportedModelError
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import site_is_subsample
from ppl.validation import is_validation_enabled

from .arguments import positive_int
from .importance_weights import effective_size
from .site_shapes import check_counted_once
from .systematic import systematic_resample
from .trace_batch import TraceBatch, params_in, values_in
from .trace_posterior import TracePosterior
from .unconstrained_model import UnconstrainedModel

Model = Callable[..., Any]
Values = dict[str, Tensor]
_ACCEPTANCE = 0.3  # near the best of random walks in all dimensions: 0.44 in one, 0.234 in many


class SMC(TracePosterior):
    """Particles that are led from the prior to the posterior, for posteriors with several modes.

    The likelihood is raised to powers that grow from 0 to 1. Each next power is the largest that
    leaves the wanted effective sample size; then particles are resampled, and moved by random walks
    whose steps have the covariance of the particles and a scale that adapts. All particles
    run at once with ``torch.func.vmap``.

    Args:
        model: The model, with continuous latent sites only.
        num_particles: How many particles.
        ess_threshold: The share of effective particles that each next power leaves, in (0, 1).
        num_moves: How many steps of the random walk follow each power.

    Attributes:
        log_evidence: The estimate of the log density of the observations, in nats.
        temperatures: The powers of the likelihood, from 0 to 1.
        acceptance_rates: The share of moves that were accepted, for each power but the first.

    Raises:
        UnsupportedModelError: In ``run``, if a latent site is discrete, a plate subsamples, or the
            model cannot run under vmap, such as with a branch on a value.
        ShapeError: In ``run``, if observations broadcast along a dimension without a plate.
        NotFiniteError: In ``run``, if the likelihood is zero, or no number, at all particles.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 10.0))
        ...     sample("x", dist.Normal(z.abs(), 0.5), obs=torch.tensor(4.0))
        >>> z = SMC(model, num_particles=2000).run().marginal("z").empirical["z"].sample((1000,))
        >>> round(z.abs().mean().item()), bool(0.4 < (z > 0).double().mean() < 0.6)
        (4, True)

    References:
        Del Moral, Doucet & Jasra 2006, "Sequential Monte Carlo samplers"; Jasra et al. 2011,
        "Inference for Levy-driven stochastic volatility models via adaptive sequential Monte
        Carlo", for the choice of powers.
    """

    temperatures: list[float]
    acceptance_rates: list[float]

    def __init__(
        self,
        model: Model,
        num_particles: int = 1000,
        *,
        ess_threshold: float = 0.5,
        num_moves: int = 10,
    ) -> None:
        super().__init__()
        require_program("model", model)
        if not 0 < ess_threshold < 1:
            raise SiteError(f"ess_threshold must lie between 0 and 1, got {ess_threshold!r}")
        self.model = model
        self.num_particles: int = positive_int("num_particles", num_particles, at_least=2)
        self.num_moves: int = positive_int("num_moves", num_moves)
        self.ess_threshold = ess_threshold
        self.temperatures, self.acceptance_rates = [], []
        self._log_evidence: Tensor | None = None

    @property
    def log_evidence(self) -> Tensor:
        """The estimate of the log density of the observations, a scalar in nats.

        Raises:
            NotRunError: Before :meth:`run`.
        """
        if self._log_evidence is None:
            raise NotRunError("SMC holds no particles yet; call run(...) first")
        return self._log_evidence

    def _report(self) -> dict[str, Any]:
        history = {
            "temperature": torch.tensor(self.temperatures),
            "acceptance_rate": torch.tensor(self.acceptance_rates),
        }
        facts = {"log_evidence": self.log_evidence.item()}
        return {**super()._report(), "history": history, "facts": facts}

    @torch.no_grad()
    def _collect(
        self, *args: Any, **kwargs: Any
    ) -> tuple[Sequence[poutine.Trace], list[Tensor], list[int]]:
        first = poutine.trace(self.model).get_trace(*args, **kwargs)  # makes parameters
        if is_validation_enabled():
            check_counted_once(first)
        target = _Target(self.model, first, args, kwargs)
        particles = target.draw_from_prior(self.num_particles)
        self._log_evidence, self.temperatures, self.acceptance_rates = torch.zeros(()), [0.0], []
        scale = 2.38 / math.sqrt(particles.position.shape[1])
        while self.temperatures[-1] < 1:
            temperature = self._next_temperature(particles.log_likelihood)
            log_weights = (temperature - self.temperatures[-1]) * particles.log_likelihood
            self._log_evidence = self._log_evidence + log_weights.logsumexp(0)
            self._log_evidence = self._log_evidence - math.log(self.num_particles)
            particles = particles[systematic_resample(log_weights)]
            factor = _factor(particles.position)
            accepted = []
            for _ in range(self.num_moves):
                particles, rate = target.move(particles, scale * factor, temperature)
                scale *= math.exp(rate - _ACCEPTANCE)
                accepted.append(rate)
            self.temperatures.append(temperature)
            self.acceptance_rates.append(sum(accepted) / len(accepted))
        values = target.values_at(particles.position)
        params = params_in(first)
        traces = TraceBatch(self.num_particles, self.model, values, params, args, kwargs)
        zeros = torch.zeros(self.num_particles)
        return traces, list(zeros.unbind()), [0] * self.num_particles

    def _next_temperature(self, log_likelihood: Tensor) -> float:
        """Return the largest power that leaves enough effective particles, by bisection."""
        last, wanted = self.temperatures[-1], self.ess_threshold * self.num_particles
        if not bool(log_likelihood.logsumexp(0).isfinite()):
            raise NotFiniteError(
                f"the likelihood of all {self.num_particles} particles sums to "
                f"exp({log_likelihood.logsumexp(0).item()}): the observations are impossible at "
                "every draw of the prior, or a parameter is nan"
            )
        low, high = last, 1.0
        if effective_size((high - last) * log_likelihood) >= wanted:
            return 1.0
        for _ in range(50):
            middle = (low + high) / 2
            enough = effective_size((middle - last) * log_likelihood) >= wanted
            low, high = (middle, high) if enough else (low, middle)
        return high


class _Particles:
    """Unconstrained positions ``(particle, dim)`` with log prior and likelihood ``(particle,)``."""

    def __init__(self, position: Tensor, log_prior: Tensor, log_likelihood: Tensor) -> None:
        self.position, self.log_prior, self.log_likelihood = position, log_prior, log_likelihood

    def __getitem__(self, index: Tensor) -> _Particles:
        return _Particles(self.position[index], self.log_prior[index], self.log_likelihood[index])

    def where(self, is_new: Tensor, new: _Particles) -> _Particles:
        return _Particles(
            torch.where(is_new[:, None], new.position, self.position),
            torch.where(is_new, new.log_prior, self.log_prior),
            torch.where(is_new, new.log_likelihood, self.log_likelihood),
        )


class _Target:
    """A model as a prior and a likelihood of many unconstrained positions at once."""

    def __init__(
        self,
        model: Model,
        first: poutine.Trace,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        sites = {}
        for name, site in first.iter_stochastic_nodes():
            check_continuous(name, site)
            if not site_is_subsample(site):
                sites[name] = site
        if not sites:
            raise UnsupportedModelError("SMC moves latent sites, but the model has none")
        self._model = UnconstrainedModel("SMC", lambda: model(*args, **kwargs), sites)

    def draw_from_prior(self, number: int) -> _Particles:
        return self._at(self._model.prior(number))

    def move(self, old: _Particles, factor: Tensor, temperature: float) -> tuple[_Particles, float]:
        """Return particles after a Metropolis step, and the share that moved."""
        new = self._at(old.position + torch.randn_like(old.position) @ factor.T)
        ratio = new.log_prior - old.log_prior
        ratio = ratio + temperature * (new.log_likelihood - old.log_likelihood)
        is_accepted = torch.rand_like(ratio).log() < ratio
        return old.where(is_accepted, new), is_accepted.double().mean().item()

    def values_at(self, position: Tensor) -> Values:
        values: Values = self._model.many(lambda x: values_in(self._model.run(x)[0]), position)
        return values

    def _at(self, position: Tensor) -> _Particles:
        def score(x: Tensor) -> tuple[Tensor, Tensor]:
            trace, log_jacobian = self._model.run(x)
            log_likelihood = trace.log_prob_sum(lambda _, site: site["is_observed"])
            log_prior = trace.log_prob_sum(lambda _, site: not site["is_observed"])
            return log_prior + log_jacobian, torch.as_tensor(log_likelihood)

        return _Particles(position, *self._model.many(score, position))


def _factor(position: Tensor) -> Tensor:
    """Return a triangular factor of the covariance of the particles."""
    covariance = position.T.cov().reshape(position.shape[1], -1)
    jitter = 1e-6 * covariance.diagonal() + torch.finfo(position.dtype).tiny
    factor: Tensor = torch.linalg.cholesky(covariance + jitter.diag())
    return factor


def check_continuous(name: str, site: dict[str, Any]) -> None:
    """Refuse a latent site that random walks cannot move: a discrete or a subsampled one.

    Raises:
        UnsupportedModelError: With what to do instead.
    """
    if site_is_subsample(site):
        if site["fn"].subsample_size < site["fn"].size:
            raise UnsupportedModelError(
                f"plate {name!r} subsamples, but SMC needs all data; use the full plate", site=name
            )
    elif getattr(site["fn"], "is_discrete", False) or site["fn"].support.is_discrete:
        raise UnsupportedModelError(
            f"site {name!r}: SMC moves continuous sites, but {site['fn']} is discrete; sum it out "
            "in the model, or use Importance or Search",
            site=name,
        )
