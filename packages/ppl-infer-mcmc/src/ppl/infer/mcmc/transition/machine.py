"""What a sampler's state machine gets and gives: one call moves every chain by one leapfrog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.transition.integrator import Point
from ppl.infer.mcmc.transition.metric import Metric, draw_momentum, kinetic_energy

NUM_COINS = 4  # decisions a step may take
CPP = Path(__file__).parent.parent / "chains" / "cpp"
MAX_ENERGY_ERROR = 1000.0  # nats; a larger error is a divergence (Hoffman & Gelman 2014, sec. 3.1)


class Noise(NamedTuple):
    """The randomness of one step."""

    normal: Tensor  # (chain, dim), for the momenta of a new transition
    log_uniform: Tensor  # (chain, NUM_COINS), logarithms of uniforms


class Tuning(NamedTuple):
    """What warm-up adapts."""

    step_size: Tensor  # (chain,)
    metric: Metric


class PhasePoint(NamedTuple):
    """A position with what is known there."""

    position: Tensor  # (chain, dim)
    gradient: Tensor  # (chain, dim)
    potential: Tensor  # (chain,)
    energy: Tensor  # (chain,), potential plus kinetic energy


class Outcome(NamedTuple):
    """What a transition reports; to be read for the chains where `finished` holds."""

    finished: Tensor  # (chain,) bool
    draw: PhasePoint
    accept_prob: Tensor  # (chain,)
    num_steps: Tensor  # (chain,), leapfrogs
    tree_depth: Tensor  # (chain,)
    diverging: Tensor  # (chain,) bool
    end: Tensor  # (chain, dim), the last position that was reached


class Transition(Protocol):
    """A transition kernel cut into leapfrogs.

    States are nested NamedTuples of tensors; each has an `edge`, the point that the next leapfrog
    starts from, the `initial_energy` of the transition and the last `draw`.
    """

    potential_and_grad: PotentialAndGrad

    def start(self, draw: PhasePoint, metric: Metric, noise: Noise) -> Any:
        """Return the state in which every chain begins a transition at `draw`."""

    def step(self, state: Any, tuning: Tuning, noise: Noise) -> tuple[Any, Outcome]:
        """Return the state one leapfrog later; chains that finished begin their next transition."""

    def restart(self, state: Any, metric: Metric, noise: Noise) -> Any:
        """Return the state in which every chain begins its transition anew from its last draw."""


@runtime_checkable
class NativeTransition(Transition, Protocol):
    """A transition with a twin in C++, made by the macro ``EXPORT`` of ``chains/cpp/sampler.hpp``.

    The twin gives the same numbers from the same noise.
    """

    native_source: Path
    """The source of its twin."""
    native_name: str
    """The name that the twin is exported by, with ``_float`` and ``_double`` after it."""
    native_settings: dict[str, float]
    """Those fields of ``Settings`` in ``records.hpp`` that it reads."""


def energy_error(energy: Tensor, initial_energy: Tensor) -> Tensor:
    """Return how much energy the integration gained (nats); what is not finite counts as inf."""
    inf = torch.inf
    return torch.nan_to_num(energy - initial_energy, nan=inf, posinf=inf, neginf=inf)


def refresh_momentum(draw: PhasePoint, metric: Metric, noise: Noise) -> tuple[Point, PhasePoint]:
    """Return the draw as a point with a fresh momentum, and the draw with its energy there."""
    momentum = draw_momentum(metric, noise.normal)
    energy = draw.potential + kinetic_energy(metric, momentum)
    return Point(draw.position, momentum, draw.gradient), draw._replace(energy=energy)
