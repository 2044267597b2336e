"""The models as NumPyro writes them; sums over discrete sites by hand, as it has no funsor here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import plate, sample
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

from .svi_data import DATA, RATES, SIZES


def start(way: str, name: str) -> Callable[[int], list[float]]:
    """Return a function that takes steps: by a loop over ``update``, or by one ``lax.scan``."""
    data = [jnp.asarray(x, jnp.float32) for x in DATA[name]().values()]
    model, guide = _MODELS[name]()
    svi = SVI(model, guide, numpyro.optim.Adam(RATES[name]), Trace_ELBO())
    state = svi.init(jax.random.PRNGKey(0), *data)
    update = jax.jit(svi.update)

    def loop(num_steps: int) -> list[float]:
        nonlocal state
        losses = []
        for _ in range(num_steps):
            state, loss = update(state, *data)
            losses.append(float(loss))
        return losses

    def scan(num_steps: int) -> list[float]:
        nonlocal state
        found = svi.run(
            jax.random.PRNGKey(0), num_steps, *data, progress_bar=False, init_state=state
        )
        state = found.state
        return [float(x) for x in found.losses]

    return {"loop": loop, "scan": scan}[way]


def _logistic() -> Any:
    def model(x: Any, y: Any) -> None:
        w = sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1] + 1]).to_event(1))
        with plate("rows", len(y)):
            sample("y", dist.Bernoulli(logits=x @ w[:-1] + w[-1]), obs=y)

    return model, AutoNormal(model)


def _vae() -> Any:
    hidden, latent = SIZES["hidden"], SIZES["latent"]

    def network(name: str, x: Any, *sizes: int) -> Any:
        for i, (wide, narrow) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            draws = jax.random.uniform(jax.random.PRNGKey(i), (wide + 1, narrow), minval=-1)
            weights = numpyro.param(f"{name}_{i}", draws / wide**0.5)
            x = (jax.nn.softplus(x) if i else x) @ weights[:-1] + weights[-1]
        return x

    def model(x: Any) -> None:
        with plate("rows", len(x)):
            z = sample("z", dist.Normal(jnp.zeros((len(x), latent)), 1.0).to_event(1))
            logits = network("decoder", z, latent, hidden, 784)
            sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        loc, log_scale = jnp.split(network("encoder", x, 784, hidden, 2 * latent), 2, -1)
        with plate("rows", len(x)):
            sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

    return model, guide


def _hierarchy() -> Any:
    def model(y: Any) -> None:
        mean, spread = sample("mean", dist.Normal(0.0, 5.0)), sample("spread", dist.LogNormal())
        with plate("groups", 50, dim=-1):
            effect = sample("effect", dist.Normal(mean, spread))
            with plate("rows", 10, dim=-2):
                sample("y", dist.Normal(effect, 1.0), obs=y)

    return model, AutoMultivariateNormal(model)


def _mixture() -> Any:
    number = SIZES["components"]

    def model(y: Any) -> None:
        weights = sample("weights", dist.Dirichlet(jnp.ones(number)))
        places = sample("places", dist.Normal(0.0, 5.0).expand([number]).to_event(1))
        parts = dist.Normal(places, 1.0)
        with plate("rows", len(y)):
            sample("y", dist.MixtureSameFamily(dist.Categorical(weights), parts), obs=y)

    return model, AutoNormal(model)


_MODELS = {"logistic": _logistic, "vae": _vae, "hierarchy": _hierarchy, "mixture": _mixture}
