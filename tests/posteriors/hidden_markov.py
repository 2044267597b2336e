"""Two hidden Markov models of two states: simulated normals, and drives of a basketball player."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
from ppl.distributions import constraints

from .posterior import Posterior, tensor


def increasing(name: str, prior_mean: Tensor) -> Tensor:
    """Positive increasing values, normal around their prior means but for that; not normalized."""
    shape = prior_mean.shape
    flat = dist.ImproperUniform(constraints.positive_ordered_vector, (), shape)
    values = ppl.sample(name, flat)
    ppl.factor(f"{name}_prior", dist.Normal(prior_mean, 1.0).to_event(1).log_prob(values))
    return values


def transitions(concentration: Tensor, duration: int) -> Tensor:
    """Logits of the transitions of each step, ``(time, state, state)``.

    The first step goes anywhere: at the start both states have the same weight.
    """
    theta1 = ppl.sample("theta1", dist.Dirichlet(concentration[0]))
    theta2 = ppl.sample("theta2", dist.Dirichlet(concentration[1]))
    logits = torch.stack([theta1, theta2]).log()
    return torch.cat([torch.zeros_like(logits)[None], logits.expand(duration - 1, -1, -1)])


def normal(y: Tensor) -> None:
    """Normal observations with unknown means."""
    steps = transitions(y.new_ones(2, 2), len(y))
    mu = increasing("mu", y.new_tensor([3.0, 10.0]))
    ppl.sample("y", dist.DiscreteHMM(y.new_zeros(2), steps, dist.Normal(mu, 1.0)), obs=y)


def drives(concentration: Tensor, uv: Tensor) -> None:
    """Exponential observations; ``uv`` is ``(time, 2)``: inverse speed and distance to the hoop."""
    steps = transitions(concentration, len(uv))
    phi = increasing("phi", uv.new_tensor([0.0, 3.0]))
    rates = torch.stack([phi, increasing("lambda", uv.new_tensor([0.0, 3.0]))], -1)
    observed = dist.Exponential(rates).to_event(1)
    ppl.sample("uv", dist.DiscreteHMM(uv.new_zeros(2), steps, observed), obs=uv)


HIDDEN_MARKOV = Posterior(
    "hmm_example-hmm_example",
    normal,
    lambda data: {"y": tensor(data["y"])},
    start={"mu": tensor([3.0, 10.0])},  # of double precision, which an improper prior has not
    num_samples=1000,
)

DRIVES = Posterior(
    "bball_drive_event_0-hmm_drive_0",
    drives,
    lambda data: {
        "concentration": tensor(data["alpha"]),
        "uv": torch.stack([tensor(data["u"]), tensor(data["v"])], -1),
    },
    # there is a minor mode with lambda[1] > 1, some 30 nats lower
    start={
        "theta1": tensor([0.9, 0.1]),
        "theta2": tensor([0.1, 0.9]),
        "phi": tensor([2.0, 6.0]),
        "lambda": tensor([0.03, 0.08]),
    },
    num_samples=1000,
)
