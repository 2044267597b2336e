"""Dogs that learn to avoid a shock (Gelman & Hill 2006, section 24.2)."""

from __future__ import annotations

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(shocked: Tensor) -> None:
    """Logistic regression on each dog's own history; ``shocked`` is ``(dog, trial)``, 0 or 1."""
    beta = ppl.sample("beta", dist.Normal(shocked.new_zeros(3), 100.0).to_event(1))
    num_avoided = (1 - shocked).cumsum(-1) - (1 - shocked)  # before the trial
    num_shocked = shocked.cumsum(-1) - shocked
    logits = beta[0] + beta[1] * num_avoided + beta[2] * num_shocked
    num_dogs, num_trials = shocked.shape
    with ppl.plate("dogs", num_dogs, dim=-2), ppl.plate("trials", num_trials, dim=-1):
        ppl.sample("shocked", dist.Bernoulli(logits=logits), obs=shocked)


DOGS = Posterior("dogs-dogs", model, lambda data: {"shocked": tensor(data["y"])}, num_samples=1000)
