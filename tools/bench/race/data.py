"""The data of the race: made once from fixed seeds, the same for every system."""

from __future__ import annotations

from typing import Any

import numpy as np

Data = dict[str, Any]


def eight_schools() -> Data:
    """Effects of coaching in eight schools (Rubin 1981)."""
    return {
        "y": np.array([28.0, 8, -3, 7, -1, 1, 18, 12]),
        "sigma": np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
    }


def logistic(rows: int = 1000, columns: int = 20) -> Data:
    """A logistic regression with an intercept."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    weights = 0.5 * rng.normal(size=columns)
    y = rng.random(rows) < 1 / (1 + np.exp(-x @ weights))
    return {"x": x, "y": y.astype(float)}


def logistic_large() -> Data:
    """The same with 20 000 rows and 50 columns."""
    return logistic(20_000, 50)


def hierarchy(groups: int = 85, rows: int = 919) -> Data:
    """Varying intercepts and slopes, of the size of the radon study (Gelman & Hill 2006)."""
    rng = np.random.default_rng(1)
    group = rng.integers(groups, size=rows)
    x = (rng.random(rows) < 0.2).astype(float)
    intercept = 1.5 + 0.3 * rng.normal(size=groups)
    slope = -0.7 + 0.3 * rng.normal(size=groups)
    y = intercept[group] + slope[group] * x + 0.75 * rng.normal(size=rows)
    return {"group": group, "groups": groups, "x": x, "y": y}


def sparse_gp(rows: int = 30, columns: int = 20) -> Data:
    """A function of 20 variables that depends on three (the setting of SAASBO)."""
    rng = np.random.default_rng(2)
    x = rng.random((rows, columns))
    y = np.sin(5 * x[:, 0]) + x[:, 1] ** 2 - x[:, 2] + 0.05 * rng.normal(size=rows)
    return {"x": x, "y": (y - y.mean()) / y.std()}


def item_response(people: int = 100, items: int = 20) -> Data:
    """Right and wrong answers of people to items: the two-parameter logistic model."""
    rng = np.random.default_rng(3)
    ability, difficulty = rng.normal(size=people), rng.normal(size=items)
    discrimination = np.exp(0.3 * rng.normal(size=items))
    logits = discrimination * (ability[:, None] - difficulty)
    return {"y": (rng.random((people, items)) < 1 / (1 + np.exp(-logits))).astype(float)}


DATA = {
    "eight_schools": eight_schools,
    "logistic": logistic,
    "logistic_large": logistic_large,
    "hierarchy": hierarchy,
    "sparse_gp": sparse_gp,
    "item_response": item_response,
}
DOUBLE = {"sparse_gp"}  # in float64; the others in each system's default
