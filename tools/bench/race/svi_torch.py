"""Models, guides and losses as ppl and Pyro write them: one text for both."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from .svi_data import DATA, RATES, SIZES


def start(root: str, way: str, name: str) -> Callable[[int], list[float]]:
    """Return a function that takes steps, and returns their losses.

    Args:
        root: ``"ppl"`` or ``"pyro"``.
        way: ``"fit"``, ``"step"``, or ``"jit"`` for the older losses that record themselves.
        name: Of the model.
    """
    lib, infer = importlib.import_module(root), importlib.import_module(f"{root}.infer")
    optim = importlib.import_module(f"{root}.optim").Adam({"lr": RATES[name]})
    data = {k: torch.as_tensor(v, dtype=torch.float32) for k, v in DATA[name]().items()}
    lib.set_rng_seed(0)
    model, guide, loss = _MODELS[name](root)
    loss, options = ("Jit" + loss, {"ignore_jit_warnings": True}) if way == "jit" else (loss, {})
    options |= {"max_plate_nesting": 1} if "Enum" in loss else {}
    compiles = {"compile": True} if root == "ppl" and way != "jit" else {}
    svi = infer.SVI(model, guide, optim, getattr(infer, loss)(**options), **compiles)

    def run(num_steps: int) -> list[float]:
        if way == "fit":
            found: list[float] = svi.fit(num_steps, *data.values(), disable_progbar=True).losses
            return found
        return [svi.step(*data.values()) for _ in range(num_steps)]

    return run


def _tools(root: str) -> tuple[Any, Any, Any]:
    names = ("", ".distributions", ".infer.autoguide")
    lib, dist, guides = (importlib.import_module(root + name) for name in names)
    return lib, dist, guides


def _logistic(root: str) -> Any:
    lib, dist, guides = _tools(root)

    def model(x: Tensor, y: Tensor) -> None:
        w = lib.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1] + 1]).to_event(1))
        with lib.plate("rows", len(y)):
            lib.sample("y", dist.Bernoulli(logits=x @ w[:-1] + w[-1]), obs=y)

    return model, guides.AutoNormal(model), "Trace_ELBO"


def _vae(root: str) -> Any:
    lib, dist, _ = _tools(root)
    hidden, latent = SIZES["hidden"], SIZES["latent"]
    encoder = nn.Sequential(nn.Linear(784, hidden), nn.Softplus(), nn.Linear(hidden, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Softplus(), nn.Linear(hidden, 784))

    def model(x: Tensor) -> None:
        lib.module("decoder", decoder)
        with lib.plate("rows", len(x)):
            z = lib.sample("z", dist.Normal(x.new_zeros(len(x), latent), 1.0).to_event(1))
            lib.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        lib.module("encoder", encoder)
        loc, log_scale = encoder(x).chunk(2, -1)
        with lib.plate("rows", len(x)):
            lib.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    return model, guide, "Trace_ELBO"


def _hierarchy(root: str) -> Any:
    lib, dist, guides = _tools(root)

    def model(y: Tensor) -> None:
        mean = lib.sample("mean", dist.Normal(0.0, 5.0))
        spread = lib.sample("spread", dist.LogNormal(0.0, 1.0))
        with lib.plate("groups", 50, dim=-1):
            effect = lib.sample("effect", dist.Normal(mean, spread))
            with lib.plate("rows", 10, dim=-2):
                lib.sample("y", dist.Normal(effect, 1.0), obs=y)

    return model, guides.AutoMultivariateNormal(model), "Trace_ELBO"


def _mixture(root: str) -> Any:
    lib, dist, guides = _tools(root)
    number = SIZES["components"]

    def model(y: Tensor) -> None:
        weights = lib.sample("weights", dist.Dirichlet(torch.ones(number)))
        places = lib.sample("places", dist.Normal(0.0, 5.0).expand([number]).to_event(1))
        with lib.plate("rows", len(y)):
            which = lib.sample("which", dist.Categorical(weights), infer={"enumerate": "parallel"})
            lib.sample("y", dist.Normal(places[which], 1.0), obs=y)

    hidden = importlib.import_module(f"{root}.poutine").block(model, hide=["which"])
    return model, guides.AutoNormal(hidden), "TraceEnum_ELBO"


def _hmm(root: str) -> Any:
    lib, dist, _ = _tools(root)
    number = SIZES["states"]

    def model(y: Tensor) -> None:
        rows = lib.param("rows", torch.eye(number) + 0.1, constraint=constraints.simplex)
        places = lib.param("places", torch.arange(number) * 2.0)
        state: Any = 0
        with lib.plate("series", y.shape[1], dim=-1):
            for t in lib.markov(range(len(y))):
                state = lib.sample(
                    f"state_{t}", dist.Categorical(rows[state]), infer={"enumerate": "parallel"}
                )
                lib.sample(f"y_{t}", dist.Normal(places[state], 1.0), obs=y[t])

    return model, lambda y: None, "TraceEnum_ELBO"


_MODELS = {
    "logistic": _logistic,
    "vae": _vae,
    "hierarchy": _hierarchy,
    "mixture": _mixture,
    "hmm": _hmm,
}
