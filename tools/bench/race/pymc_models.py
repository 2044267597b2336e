"""The models as PyMC writes them, for nutpie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .data import DATA, DOUBLE


def load(name: str) -> Any:
    """Return a PyMC model with its data."""
    import pytensor

    pytensor.config.floatX = "float64"  # nutpie supports nothing else
    with pm.Model() as model:
        MODELS[name](**DATA[name]())
    return model


def _eight_schools(y: Any, sigma: Any) -> None:
    mu, tau = pm.Normal("mu", 0.0, 5.0), pm.HalfCauchy("tau", 5.0)
    eta = pm.Normal("eta", 0.0, 1.0, shape=8)
    pm.Normal("y", mu + tau * eta, sigma, observed=y)


def _logistic(x: Any, y: Any) -> None:
    weights = pm.Normal("weights", 0.0, 1.0, shape=x.shape[-1])
    intercept = pm.Normal("intercept", 0.0, 1.0)
    pm.Bernoulli("y", logit_p=pt.dot(x, weights) + intercept, observed=y)


def _hierarchy(group: Any, groups: int, x: Any, y: Any) -> None:
    mean, spread = pm.Normal("mean", 0.0, 5.0, shape=2), pm.HalfNormal("spread", 1.0, shape=2)
    sigma = pm.HalfNormal("sigma", 1.0)
    z = pm.Normal("z", 0.0, 1.0, shape=(groups, 2))
    effect = mean + spread * z
    pm.Normal("y", effect[group, 0] + effect[group, 1] * x, sigma, observed=y)


def _sparse_gp(x: Any, y: Any) -> None:
    shrinkage = pm.HalfCauchy("shrinkage", 0.1)
    inverse_length = pm.HalfCauchy("inverse_length", 1.0, shape=x.shape[-1])
    scale, noise = pm.LogNormal("scale", 0.0, 1.0), pm.LogNormal("noise", -3.0, 1.0)
    squares = (x[:, None] - x) ** 2  # data: distances are linear in what is unknown
    squared = pt.dot(squares, shrinkage * inverse_length)
    distance = pt.sqrt(squared + 1e-12) * 5**0.5
    kernel = scale * (1 + distance + distance**2 / 3) * pt.exp(-distance)
    covariance = kernel + (noise + 1e-6) * np.eye(len(y))
    pm.MvNormal("y", np.zeros(len(y)), covariance, observed=y)


def _item_response(y: Any) -> None:
    people, items = y.shape
    ability = pm.Normal("ability", 0.0, 1.0, shape=(people, 1))
    difficulty = pm.Normal("difficulty", 0.0, 2.0, shape=items)
    discrimination = pm.LogNormal("discrimination", 0.0, 0.5, shape=items)
    pm.Bernoulli("y", logit_p=discrimination * (ability - difficulty), observed=y)


MODELS = {
    "eight_schools": _eight_schools,
    "logistic": _logistic,
    "logistic_large": _logistic,
    "hierarchy": _hierarchy,
    "sparse_gp": _sparse_gp,
    "item_response": _item_response,
}
assert set(MODELS) == set(DATA) and set(DATA) >= DOUBLE


def sampler(name: str) -> Any:
    """Return a function that samples the compiled model: compilation is not repeated."""
    import nutpie

    compiled = nutpie.compile_pymc_model(load(name))

    def run(chains: int, warmup: int, draws: int, seed: int) -> dict[str, Any]:
        trace = nutpie.sample(
            compiled, draws=draws, tune=warmup, chains=chains, seed=seed, progress_bar=False
        )
        names = [v.name for v in load(name).free_RVs]
        return {n: trace.posterior[n].values for n in names}

    return run
