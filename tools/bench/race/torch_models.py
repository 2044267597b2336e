"""The models as ppl and Pyro write them: one text for both."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from .data import DATA, DOUBLE

Model = Callable[[], None]


def load(root: str, name: str) -> Model:
    """Return a model of the library ``root`` with its data, after setting the default dtype."""
    torch.set_default_dtype(torch.float64 if name in DOUBLE else torch.float32)
    lib, dist = importlib.import_module(root), importlib.import_module(f"{root}.distributions")
    data = {
        key: torch.as_tensor(value) if key == "group" else value if key == "groups" else
        torch.as_tensor(value, dtype=torch.get_default_dtype())
        for key, value in DATA[name]().items()
    }  # fmt: skip
    return lambda: MODELS[name](lib, dist, **data)


def _eight_schools(lib: Any, dist: Any, y: Any, sigma: Any) -> None:
    mu = lib.sample("mu", dist.Normal(0.0, 5.0))
    tau = lib.sample("tau", dist.HalfCauchy(5.0))
    with lib.plate("schools", 8):
        eta = lib.sample("eta", dist.Normal(0.0, 1.0))
        lib.sample("y", dist.Normal(mu + tau * eta, sigma), obs=y)


def _logistic(lib: Any, dist: Any, x: Any, y: Any) -> None:
    weights = lib.sample("weights", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    intercept = lib.sample("intercept", dist.Normal(0.0, 1.0))
    with lib.plate("rows", len(y)):
        lib.sample("y", dist.Bernoulli(logits=x @ weights + intercept), obs=y)


def _hierarchy(lib: Any, dist: Any, group: Any, groups: int, x: Any, y: Any) -> None:
    mean = lib.sample("mean", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
    spread = lib.sample("spread", dist.HalfNormal(torch.ones(2)).to_event(1))
    sigma = lib.sample("sigma", dist.HalfNormal(torch.ones(())))
    with lib.plate("groups", groups):
        z = lib.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    effect = mean + spread * z
    location = effect[group, 0] + effect[group, 1] * x
    with lib.plate("rows", len(y)):
        lib.sample("y", dist.Normal(location, sigma), obs=y)


def _sparse_gp(lib: Any, dist: Any, x: Any, y: Any) -> None:
    shrinkage = lib.sample("shrinkage", dist.HalfCauchy(torch.tensor(0.1)))
    inverse_length = lib.sample(
        "inverse_length", dist.HalfCauchy(torch.ones(x.shape[-1])).to_event(1)
    )
    scale = lib.sample("scale", dist.LogNormal(0.0, 1.0))
    noise = lib.sample("noise", dist.LogNormal(-3.0, 1.0))
    squares = (x[:, None] - x) ** 2  # data: distances are linear in what is unknown
    squared = squares @ (shrinkage * inverse_length)
    distance = (squared + 1e-12).sqrt() * 5**0.5
    kernel = scale * (1 + distance + distance**2 / 3) * torch.exp(-distance)
    covariance = kernel + (noise + 1e-6) * torch.eye(len(y))
    lib.sample("y", dist.MultivariateNormal(torch.zeros(len(y)), covariance), obs=y)


def _item_response(lib: Any, dist: Any, y: Any) -> None:
    people, items = y.shape
    with lib.plate("people", people, dim=-2):
        ability = lib.sample("ability", dist.Normal(0.0, 1.0))
    with lib.plate("items", items, dim=-1):
        difficulty = lib.sample("difficulty", dist.Normal(0.0, 2.0))
        discrimination = lib.sample("discrimination", dist.LogNormal(0.0, 0.5))
    with lib.plate("people_", people, dim=-2), lib.plate("items_", items, dim=-1):
        logits = discrimination * (ability - difficulty)
        lib.sample("y", dist.Bernoulli(logits=logits), obs=y)


MODELS = {
    "eight_schools": _eight_schools,
    "logistic": _logistic,
    "logistic_large": _logistic,
    "hierarchy": _hierarchy,
    "sparse_gp": _sparse_gp,
    "item_response": _item_response,
}
