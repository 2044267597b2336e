"""The models as Stan writes them, for PyStan."""

from __future__ import annotations

from typing import Any

import numpy as np

from .data import DATA

_EIGHT_SCHOOLS = """
data { vector[8] y; vector[8] sigma; }
parameters { real mu; real<lower=0> tau; vector[8] eta; }
model {
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
  eta ~ std_normal();
  y ~ normal(mu + tau * eta, sigma);
}
"""

_LOGISTIC = """
data { int N; int D; matrix[N, D] x; array[N] int y; }
parameters { vector[D] weights; real intercept; }
model {
  weights ~ std_normal();
  intercept ~ std_normal();
  y ~ bernoulli_logit_glm(x, intercept, weights);
}
"""

_HIERARCHY = """
data { int N; int groups; array[N] int group; vector[N] x; vector[N] y; }
parameters {
  vector[2] mean;
  vector<lower=0>[2] spread;
  real<lower=0> sigma;
  matrix[groups, 2] z;
}
model {
  vector[groups] intercept = mean[1] + spread[1] * z[, 1];
  vector[groups] slope = mean[2] + spread[2] * z[, 2];
  mean ~ normal(0, 5);
  spread ~ std_normal();
  sigma ~ std_normal();
  to_vector(z) ~ std_normal();
  y ~ normal(intercept[group] + slope[group] .* x, sigma);
}
"""

_SPARSE_GP = """
data { int N; int D; matrix[N, D] x; vector[N] y; }
transformed data {  // distances are linear in what is unknown
  matrix[N * N, D] squares;
  for (i in 1:N)
    for (j in 1:N)
      squares[(i - 1) * N + j] = (x[i] - x[j]) .^ 2;
}
parameters {
  real<lower=0> shrinkage;
  vector<lower=0>[D] inverse_length;
  real<lower=0> scale;
  real<lower=0> noise;
}
model {
  vector[N * N] distance = sqrt(5 * (squares * (shrinkage * inverse_length) + 1e-12));
  vector[N * N] kernel = scale * (1 + distance + square(distance) / 3) .* exp(-distance);
  shrinkage ~ cauchy(0, 0.1);
  inverse_length ~ cauchy(0, 1);
  scale ~ lognormal(0, 1);
  noise ~ lognormal(-3, 1);
  y ~ multi_normal(rep_vector(0, N), add_diag(to_matrix(kernel, N, N), noise + 1e-6));
}
"""

_ITEM_RESPONSE = """
data { int people; int items; array[people, items] int y; }
parameters {
  vector[people] ability;
  row_vector[items] difficulty;
  row_vector<lower=0>[items] discrimination;
}
model {
  ability ~ std_normal();
  difficulty ~ normal(0, 2);
  discrimination ~ lognormal(0, 0.5);
  for (i in 1:people)
    y[i] ~ bernoulli_logit(discrimination .* (ability[i] - difficulty));
}
"""

MODELS = {
    "eight_schools": _EIGHT_SCHOOLS,
    "logistic": _LOGISTIC,
    "logistic_large": _LOGISTIC,
    "hierarchy": _HIERARCHY,
    "sparse_gp": _SPARSE_GP,
    "item_response": _ITEM_RESPONSE,
}
BINARY = {"logistic", "logistic_large", "item_response"}


def load(name: str) -> dict[str, Any]:
    """Return the data as Stan reads it: sizes, indices from one, whole numbers."""
    data = DATA[name]()
    y = np.asarray(data["y"], dtype=int if name in BINARY else float)
    data["y"] = y
    if "x" in data:
        data |= {"N": len(y), "D": np.atleast_2d(data["x"]).shape[-1]}
    if "group" in data:
        data["group"] = data["group"] + 1
    if name == "item_response":
        data |= dict(zip(("people", "items"), y.shape, strict=True))
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in data.items()}


def run(name: str, chains: int, warmup: int, draws: int, seed: int) -> dict[str, Any]:
    """Return draws by site, ``(chain, draw, *site)``; PyStan keeps compiled models in its cache."""
    import stan

    fit = stan.build(MODELS[name], data=load(name), random_seed=seed).sample(
        num_chains=chains, num_warmup=warmup, num_samples=draws
    )
    # PyStan returns (*site, draws of all chains, interleaved)
    return {
        site: np.moveaxis(fit[site], -1, 0).reshape(draws, chains, -1).swapaxes(0, 1)
        for site in fit.param_names
    }
