"""Sequential Monte Carlo: particles that follow a series of observations."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.distributions import Empirical
from ppl.errors import NotFiniteError, NotRunError, PPLError, ShapeError, SiteError
from ppl.matching import check_model_guide_match
from ppl.validation import is_validation_enabled

from .arguments import positive_int
from .importance_weights import effective_size, vectorized_log_weights
from .particles import vectorize
from .systematic import systematic_resample


class ReadOnlyStateError(PPLError, RuntimeError):
    """A guide wrote to the state, which belongs to the model."""


class SMCState(dict[Hashable, Tensor]):
    """The state of all particles: tensors by name, with the particles along the first dimension.

    Args:
        num_particles: How many particles.

    Raises:
        ShapeError: If a value is set whose first dimension has another size.
        ReadOnlyStateError: If it is written to while a guide runs.

    Attributes:
        log_weights: Normalized log weights of the particles, shape ``(num_particles,)``.
        log_evidence: The estimate of the log density of all observations so far, a scalar in nats.
    """

    def __init__(self, num_particles: int) -> None:
        super().__init__()
        self.num_particles: int = positive_int("num_particles", num_particles)
        self.log_weights: Tensor = torch.full((num_particles,), -math.log(num_particles))
        self.log_evidence: Tensor = torch.zeros(())
        self._is_locked = False

    def __reduce__(self) -> tuple[Any, ...]:
        return SMCState, (self.num_particles,), self.__dict__, None, iter(self.items())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context in which the state can only be read."""
        self._is_locked = True
        try:
            yield
        finally:
            self._is_locked = False

    def effective_sample_size(self) -> Tensor:
        """Return ``1 / sum(weight**2)``, a scalar from 1 to ``num_particles``."""
        return effective_size(self.log_weights)

    def reweight(self, log_weights: Tensor) -> None:
        """Multiply the weights, in log space, and the evidence by their mean.

        Raises:
            NotFiniteError: If no particle has a positive finite weight left.
        """
        total = self.log_weights + log_weights
        log_mean = total.logsumexp(0)
        if not bool(log_mean.isfinite()):
            raise NotFiniteError(
                f"the weights of all {self.num_particles} particles together are "
                f"exp({log_mean.item()}): the observation is impossible at every particle, or a "
                "parameter is nan; take more particles, or a guide that looks at the observation"
            )
        self.log_weights = total - log_mean
        self.log_evidence = self.log_evidence + log_mean

    def resample(self) -> None:
        """Choose particles in proportion to their weights, which become equal."""
        chosen = systematic_resample(self.log_weights)
        for key, value in list(self.items()):
            self[key] = value.index_select(0, chosen.to(value.device))
        self.log_weights = torch.full_like(self.log_weights, -math.log(self.num_particles))

    def __setitem__(self, key: Hashable, value: Tensor) -> None:
        self._check_writable(key)
        if not isinstance(value, Tensor) or value.shape[:1] != (self.num_particles,):
            found = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
            raise ShapeError(
                f"state[{key!r}] must be a tensor with the {self.num_particles} particles along "
                f"its first dimension, got {found}; keep what all of them share elsewhere"
            )
        super().__setitem__(key, value)

    def __delitem__(self, key: Hashable) -> None:
        self._check_writable(key)
        super().__delitem__(key)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set the values of another dict, as ``state[key] = value`` does."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> SMCState:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, key: Hashable, default: Any = None) -> Tensor:
        """Return the value, set to ``default`` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: Hashable, *default: Any) -> Any:
        """Remove a value and return it."""
        self._check_writable(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[Hashable, Tensor]:
        """Remove the last value and return it with its key."""
        self._check_writable(next(reversed(self), None))
        return super().popitem()

    def clear(self) -> None:
        """Remove all values."""
        self._check_writable(None)
        super().clear()

    def _check_writable(self, key: Hashable) -> None:
        if self._is_locked:
            raise ReadOnlyStateError(
                f"the guide writes to state[{key!r}], but a guide can only read it; sample there, "
                "and let the model, which is run at the same values, write the state"
            )


class SMCFilter:
    """A particle filter: importance sampling step by step, with resampling in between.

    The model and the guide are objects with methods ``init(state, ...)`` and ``step(state, ...)``,
    which take the further arguments of those of the filter. Both sample the same latent sites. The
    model keeps in ``state`` what its next step needs, the guide only reads it. Everything runs
    for all particles at once, in a plate to the left of all others.

    Particles are resampled systematically before a step if the effective sample size has fallen
    below its threshold.

    Args:
        model: The model.
        guide: The guide; None to propose from the model: the bootstrap filter.
        num_particles: How many particles.
        max_plate_nesting: The largest number of batch dimensions that plates of model and guide
            use.
        ess_threshold: Resample if fewer effective particles are left than this share of all, in
            (0, 1]; 1 resamples before every step.

    Attributes:
        state: The :class:`SMCState`, from the first ``init`` on.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> class Walk:
        ...     def init(self, state):
        ...         state["z"] = sample("z", dist.Normal(0.0, 1.0))
        ...     def step(self, state, y):
        ...         state["z"] = sample("z", dist.Normal(state["z"], 1.0))
        ...         sample("y", dist.Normal(state["z"], 1.0), obs=y)
        >>> smc = SMCFilter(Walk(), None, num_particles=10_000, max_plate_nesting=0)
        >>> smc.init()
        >>> smc.step(torch.tensor(3.0))
        >>> round(smc.get_empirical()["z"].mean.item(), 1), round(smc.log_evidence.item(), 1)
        (2.0, -3.0)

    References:
        Doucet & Johansen 2011, "A tutorial on particle filtering and smoothing"; Del Moral 2004,
        "Feynman-Kac formulae", for that the estimate of the evidence is unbiased.
    """

    state: SMCState

    def __init__(
        self,
        model: Any,
        guide: Any,
        num_particles: int,
        max_plate_nesting: int,
        *,
        ess_threshold: float = 0.5,
    ) -> None:
        if not 0 < ess_threshold <= 1:
            raise SiteError(f"ess_threshold must be above 0 and at most 1, got {ess_threshold!r}")
        _check_methods("model", model)
        if guide is not None:
            _check_methods("guide", guide)
        self.model, self.guide = model, guide
        self.num_particles: int = positive_int("num_particles", num_particles)
        self.max_plate_nesting: int = positive_int("max_plate_nesting", max_plate_nesting, 0)
        self.ess_threshold: float = ess_threshold

    @property
    def log_evidence(self) -> Tensor:
        """The log of an unbiased estimate of the density of all observations, a scalar in nats.

        Raises:
            NotRunError: Before :meth:`init`.
        """
        return self._started().log_evidence

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Begin a series: run ``init`` of guide and model."""
        self.state = SMCState(self.num_particles)
        self._advance("init", args, kwargs)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Go on by one step: run ``step`` of guide and model, and weigh the particles.

        Raises:
            NotRunError: Before :meth:`init`.
            NotFiniteError: If no particle has a positive weight left.
        """
        state = self._started()
        if state.effective_sample_size() < self.ess_threshold * self.num_particles:
            state.resample()
        self._advance("step", args, kwargs)

    def get_empirical(self) -> dict[Hashable, Empirical]:
        """Return the distribution of each tensor of the state, given the observations so far.

        Raises:
            NotRunError: Before :meth:`init`.
        """
        state = self._started()
        return {key: Empirical(value, state.log_weights) for key, value in state.items()}

    def _started(self) -> SMCState:
        if not hasattr(self, "state"):
            raise NotRunError("SMCFilter holds no particles yet; call init(...) first")
        return self.state

    @torch.no_grad()
    def _advance(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        state, guide_trace = self.state, poutine.Trace()
        with poutine.block():
            if self.guide is not None:
                with state.locked():
                    proposed = self._traced(getattr(self.guide, method))
                    guide_trace = proposed.get_trace(state, *args, **kwargs)
            replayed = poutine.replay(getattr(self.model, method), trace=guide_trace)
            model_trace = self._traced(replayed).get_trace(state, *args, **kwargs)
        if self.guide is not None and is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self.max_plate_nesting)
        state.reweight(vectorized_log_weights(model_trace, guide_trace, self.num_particles))

    def _traced(self, program: Callable[..., Any]) -> Any:
        return poutine.trace(vectorize(program, self.num_particles, self.max_plate_nesting))


def _check_methods(role: str, program: Any) -> None:
    missing = [name for name in ("init", "step") if not callable(getattr(program, name, None))]
    if missing:
        raise SiteError(
            f"the {role} of SMCFilter must be an object with methods init(state, ...) and "
            f"step(state, ...); {program!r} has no {' and no '.join(missing)}"
        )
