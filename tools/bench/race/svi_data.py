"""The data of the race of variational inference, made once from fixed seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

Data = dict[str, Any]
SIZES = {"hidden": 400, "latent": 20, "components": 3, "states": 4}


def logistic() -> Data:
    """A logistic regression with an intercept, 1000 x 20."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 20))
    y = rng.random(1000) < 1 / (1 + np.exp(-x @ (0.5 * rng.normal(size=20))))
    return {"x": x, "y": y.astype(float)}


def vae() -> Data:
    """A batch of 128 pictures of 784 black or white points."""
    rng = np.random.default_rng(0)
    return {"x": (rng.random((128, 784)) < rng.random(784) ** 2).astype(float)}


def hierarchy() -> Data:
    """Means of 50 groups of 10 observations."""
    rng = np.random.default_rng(0)
    return {"y": rng.normal(size=(10, 50)) + 2 * rng.normal(size=50) + 1}


def mixture() -> Data:
    """Numbers around three places."""
    rng = np.random.default_rng(0)
    return {"y": np.array([-4.0, 0.0, 4.0])[rng.integers(3, size=500)] + rng.normal(size=500)}


def hmm() -> Data:
    """Ten series of 15 numbers, of four hidden states."""
    rng = np.random.default_rng(0)
    states = np.cumsum(rng.random((15, 10)) < 0.2, 0) % 4
    return {"y": 3.0 * states + rng.normal(size=(15, 10))}


DATA = {f.__name__: f for f in (logistic, vae, hierarchy, mixture, hmm)}
RATES = {**dict.fromkeys(DATA, 1e-2), "vae": 1e-3}  # of learning
