"""The models as NumPyro writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import plate, sample

from .data import DATA, DOUBLE


def load(name: str) -> Callable[[], None]:
    """Return a model with its data, after setting the precision."""
    numpyro.enable_x64(name in DOUBLE)
    data = {k: v if k == "groups" else jnp.asarray(v) for k, v in DATA[name]().items()}
    return lambda: MODELS[name](**data)


def _eight_schools(y: Any, sigma: Any) -> None:
    mu, tau = sample("mu", dist.Normal(0.0, 5.0)), sample("tau", dist.HalfCauchy(5.0))
    with plate("schools", 8):
        eta = sample("eta", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(mu + tau * eta, sigma), obs=y)


def _logistic(x: Any, y: Any) -> None:
    weights = sample("weights", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    intercept = sample("intercept", dist.Normal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=x @ weights + intercept), obs=y)


def _hierarchy(group: Any, groups: int, x: Any, y: Any) -> None:
    mean = sample("mean", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
    spread = sample("spread", dist.HalfNormal(1.0).expand([2]).to_event(1))
    sigma = sample("sigma", dist.HalfNormal(1.0))
    with plate("groups", groups):
        z = sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    effect = mean + spread * z
    location = effect[group, 0] + effect[group, 1] * x
    with plate("rows", len(y)):
        sample("y", dist.Normal(location, sigma), obs=y)


def _sparse_gp(x: Any, y: Any) -> None:
    shrinkage = sample("shrinkage", dist.HalfCauchy(0.1))
    inverse_length = sample(
        "inverse_length", dist.HalfCauchy(1.0).expand([x.shape[-1]]).to_event(1)
    )
    scale = sample("scale", dist.LogNormal(0.0, 1.0))
    noise = sample("noise", dist.LogNormal(-3.0, 1.0))
    squares = (x[:, None] - x) ** 2  # data: distances are linear in what is unknown
    squared = squares @ (shrinkage * inverse_length)
    distance = jnp.sqrt(squared + 1e-12) * 5**0.5
    kernel = scale * (1 + distance + distance**2 / 3) * jnp.exp(-distance)
    covariance = kernel + (noise + 1e-6) * jnp.eye(len(y))
    sample("y", dist.MultivariateNormal(jnp.zeros(len(y)), covariance), obs=y)


def _item_response(y: Any) -> None:
    people, items = y.shape
    with plate("people", people, dim=-2):
        ability = sample("ability", dist.Normal(0.0, 1.0))
    with plate("items", items, dim=-1):
        difficulty = sample("difficulty", dist.Normal(0.0, 2.0))
        discrimination = sample("discrimination", dist.LogNormal(0.0, 0.5))
    with plate("people_", people, dim=-2), plate("items_", items, dim=-1):
        sample("y", dist.Bernoulli(logits=discrimination * (ability - difficulty)), obs=y)


MODELS = {
    "eight_schools": _eight_schools,
    "logistic": _logistic,
    "logistic_large": _logistic,
    "hierarchy": _hierarchy,
    "sparse_gp": _sparse_gp,
    "item_response": _item_response,
}


def run(name: str, chains: int, warmup: int, draws: int, seed: int) -> dict[str, Any]:
    """Return draws by site, ``(chain, draw, *site)``."""
    from numpyro.infer import MCMC, NUTS

    mcmc = MCMC(
        NUTS(load(name)),
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(seed))
    return {k: jax.device_get(v) for k, v in mcmc.get_samples(group_by_chain=True).items()}
