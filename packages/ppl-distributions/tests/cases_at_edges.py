"""Densities where a parameter or a value is at, or next to, an end of its range.

One line each: the family, its parameters, a value, the log density, and the slopes of the log
density in parameters: the limits as the end is approached. A slope of log(0), whose limit is
infinite, is 0 by decision: it may be multiplied by a weight of 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

import ppl.distributions as dist

INF = math.inf


@dataclass(frozen=True)
class Edge:
    """A log density at an edge, and slopes in some parameters."""

    make: Any
    params: dict[str, Any]
    value: Any
    log_prob: float
    slopes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        params = " ".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.family}({params}) at {self.value}"

    def dist(self, dtype: torch.dtype, **params: Any) -> Any:
        given = {k: torch.as_tensor(v, dtype=dtype) for k, v in self.params.items()}
        return self.make(**{**given, **params})

    @property
    def family(self) -> str:
        return type(self.dist(torch.float64)).__name__


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > -30 else x


def trials(make: Any, successes: int, failures: int, value: Any, log_choices: float) -> list[Edge]:
    """Return the cases of a family with density ``choices * p ** successes * q ** failures``."""
    cases = []
    for p in (1e-12, 1e-30, 0.5):
        want = log_choices + successes * math.log(p) + failures * math.log1p(-p)
        slope = successes / p - failures / (1 - p)
        cases.append(Edge(make, {"probs": p}, value, want, {"probs": slope}))
    for logits in (-200.0, -20.0, 20.0, 200.0):
        want = log_choices + successes * log_sigmoid(logits) + failures * log_sigmoid(-logits)
        slope = successes * math.exp(log_sigmoid(-logits)) - failures * math.exp(
            log_sigmoid(logits)
        )
        cases.append(Edge(make, {"logits": logits}, value, want, {"logits": slope}))
    at_0 = -INF if successes else log_choices
    at_1 = -INF if failures else log_choices
    impossible = -float(failures) if not successes else 0.0
    cases += [
        Edge(make, {"probs": 0.0}, value, at_0, {"probs": impossible} if not successes else {}),
        Edge(make, {"logits": -INF}, value, at_0, {"logits": float(successes)}),
        Edge(make, {"logits": -1e30}, value, -1e30 * successes if successes else log_choices),
    ]
    if not failures:
        cases.append(Edge(make, {"probs": 1.0}, value, at_1, {"probs": float(successes)}))
    if make is not negative_binomial:
        cases += [
            Edge(make, {"logits": INF}, value, at_1, {"logits": -float(failures)}),
            Edge(make, {"probs": 1.0}, value, at_1),
        ]
    return cases


def binomial(**p):
    return dist.Binomial(5, **p)


def extended_binomial(**p):
    return dist.ExtendedBinomial(5, **p)


def geometric(**p):
    return dist.Geometric(**p, validate_args=False)  # torch refuses a probability of 0


def negative_binomial(**p):
    return dist.NegativeBinomial(torch.full_like(next(iter(p.values())), 3.0), **p)


LOG_10 = math.log(10)
CASES = [
    *trials(dist.Bernoulli, 1, 0, 1.0, 0.0),
    *trials(dist.Bernoulli, 0, 1, 0.0, 0.0),
    *trials(binomial, 0, 5, 0.0, 0.0),
    *trials(binomial, 5, 0, 5.0, 0.0),
    *trials(binomial, 2, 3, 2.0, LOG_10),
    *trials(extended_binomial, 5, 0, 5.0, 0.0),
    *trials(extended_binomial, 0, 5, 0.0, 0.0),
    *trials(geometric, 1, 0, 0.0, 0.0),
    *trials(geometric, 1, 2, 2.0, 0.0),
    *trials(negative_binomial, 0, 3, 0.0, 0.0),
    *trials(negative_binomial, 2, 3, 2.0, math.log(6)),
]


def categories(make: Any, first: Any) -> list[Edge]:
    """Return the cases of a family at its first category."""
    return [
        Edge(make, {"probs": [0.0, 1.0]}, first, -INF),
        Edge(make, {"probs": [1.0, 0.0]}, first, 0.0, {"probs": [0.0, -1.0]}),
        Edge(make, {"probs": [1e-30, 1.0]}, first, math.log(1e-30), {"probs": [1e30, -1.0]}),
        Edge(make, {"logits": [1e30, 1e30]}, first, -math.log(2), {"logits": [0.5, -0.5]}),
        Edge(make, {"logits": [-200.0, 0.0]}, first, -200.0, {"logits": [1.0, -1.0]}),
        Edge(make, {"logits": [0.0, -INF]}, first, 0.0, {"logits": [0.0, 0.0]}),
        Edge(make, {"logits": [-INF, 0.0]}, first, -INF, {"logits": [1.0, -1.0]}),
        Edge(make, {"logits": [INF, 0.0]}, first, 0.0, {"logits": [0.0, 0.0]}),
    ]


CASES += [
    *categories(dist.Categorical, 0),
    *categories(dist.OneHotCategorical, [1.0, 0.0]),
    *categories(dist.OneHotCategoricalStraightThrough, [1.0, 0.0]),
    *categories(lambda **p: dist.Multinomial(1, **p), [1.0, 0.0]),
    Edge(
        dist.OrderedLogistic,
        {"predictor": 200.0, "cutpoints": [-1.0, 1.0]},
        0,
        -201.0,
        {"predictor": -1.0, "cutpoints": [1.0, 0.0]},
    ),
    Edge(dist.OrderedLogistic, {"predictor": 1e30, "cutpoints": [-1.0, 1.0]}, 2, 0.0),
]


def relaxed(make: Any) -> list[Edge]:
    """Return relaxed Bernoulli densities: equation (20) of Maddison et al. and its limits."""

    def edge(t, logits, x, want, slope=None):
        slopes = {} if slope is None else {"logits": slope}
        return Edge(make, {"temperature": t, "logits": logits}, x, want, slopes)

    return [
        edge(1.0, 0.5, 0.0, -0.5, -1.0),
        edge(1.0, 0.5, 1.0, 0.5, 1.0),
        edge(0.5, 0.5, 0.0, INF),
        edge(2.0, 0.5, 1.0, -INF),
        edge(1.0, 200.0, 0.0, -200.0, -1.0),
        edge(1.0, -200.0, 0.5, -200.0 + math.log(4), 1.0),
        Edge(make, {"temperature": 1.0, "probs": 1e-30}, 1.0, math.log(1e-30)),
    ]


def mean_distance(rate: float) -> float:
    return 1 / rate - 1 / math.expm1(rate)


def relaxed_one_hot(make: Any) -> list[Edge]:
    """Return relaxed categorical densities: equation (21) of Maddison et al. in the middle."""
    return [
        Edge(
            make,
            {"temperature": 1.0, "logits": [-200.0, 0.0]},
            [0.5, 0.5],
            -200.0 + math.log(4),
            {"logits": [1.0, -1.0]},
        ),
        Edge(make, {"temperature": 1.0, "probs": [1e-30, 1.0]}, [0.5, 0.5], math.log(4e-30)),
    ]


CASES += [
    *relaxed(dist.RelaxedBernoulli),
    *relaxed(dist.RelaxedBernoulliStraightThrough),
    *relaxed_one_hot(dist.RelaxedOneHotCategorical),
    *relaxed_one_hot(dist.RelaxedOneHotCategoricalStraightThrough),
    *[
        Edge(dist.ContinuousBernoulli, {"logits": logits}, x, want, {"logits": slope})
        for logits, x, want, slope in [
            (100.0, 1.0, math.log(100), 0.01),
            (100.0, 0.0, math.log(100) - 100, -0.99),
            (-100.0, 0.0, math.log(100), -0.01),
            (20.0, 1.0, math.log(20 / -math.expm1(-20)), mean_distance(20.0)),
            (0.0, 1.0, 0.0, 0.5),
            (1e30, 1.0, math.log(1e30), 0.0),
        ]
    ],
    Edge(dist.ContinuousBernoulli, {"probs": 0.5}, 0.25, 0.0, {"probs": -1.0}),
    Edge(dist.ContinuousBernoulli, {"probs": 1e-30}, 0.0, math.log(30 * LOG_10)),
]


def inflated_poisson(gate=None, gate_logits=None, rate=2.0):
    given = {"gate": gate} if gate_logits is None else {"gate_logits": gate_logits}
    return dist.ZeroInflatedDistribution(dist.Poisson(rate), **given)


def inflated_negative_binomial(gate, logits):
    return dist.ZeroInflatedNegativeBinomial(gate, torch.ones_like(gate), logits=logits)


def hurdle(gate=None, gate_logits=None, rate=2.0):
    base = dist.Poisson((gate if gate_logits is None else gate_logits).new_tensor(rate))
    return dist.Hurdle(gate, base, gate_logits=gate_logits)


def hurdle_negative_binomial(gate):
    one = torch.ones_like(gate)
    return dist.HurdleNegativeBinomial(gate, one, logits=0 * one)


NONZERO = math.log(-math.expm1(-2.0))  # that a Poisson variable of mean 2 is not 0
CASES += [
    Edge(
        make,
        {"gate": 0.0, "rate": 2.0},
        0.0,
        -2.0,
        {"gate": math.expm1(2.0), "rate": -1.0},
    )
    for make in (inflated_poisson, dist.ZeroInflatedPoisson)
]
CASES += [
    Edge(
        dist.ZeroInflatedPoisson,
        {"gate": 1.0, "rate": 2.0},
        0.0,
        0.0,
        {"gate": -math.expm1(-2.0), "rate": 0.0},
    ),
    Edge(dist.ZeroInflatedPoisson, {"gate": 0.0, "rate": 200.0}, 0.0, -200.0, {"rate": -1.0}),
    Edge(dist.ZeroInflatedPoisson, {"gate": 0.0, "rate": 2.0}, 1.0, math.log(2) - 2, {"gate": -1}),
    Edge(dist.ZeroInflatedPoisson, {"gate": 1e-12, "rate": 200.0}, 0.0, math.log(1e-12)),
    Edge(dist.ZeroInflatedPoisson, {"gate": 0.3, "rate": 0.0}, 0.0, 0.0, {"rate": -0.7}),
    Edge(inflated_poisson, {"gate_logits": -INF, "rate": 2.0}, 0.0, -2.0, {"gate_logits": 0.0}),
    Edge(inflated_poisson, {"gate_logits": INF, "rate": 2.0}, 0.0, 0.0, {"gate_logits": 0.0}),
    Edge(inflated_poisson, {"gate_logits": 200.0, "rate": 2.0}, 1.0, -202 + math.log(2)),
    Edge(
        inflated_negative_binomial,
        {"gate": 0.0, "logits": 20.0},
        0.0,
        log_sigmoid(-20.0),
        {"gate": math.exp(20.0), "logits": -math.exp(log_sigmoid(20.0))},
    ),
    Edge(hurdle, {"gate": 0.0}, 0.0, -INF),
    Edge(hurdle, {"gate": 0.0}, 1.0, math.log(2) - 2 - NONZERO, {"gate": -1.0}),
    Edge(hurdle, {"gate": 1.0}, 0.0, 0.0, {"gate": 1.0}),
    Edge(hurdle, {"gate": 1.0}, 1.0, -INF),
    Edge(hurdle, {"gate": 1e-12}, 0.0, math.log(1e-12), {"gate": 1e12}),
    Edge(hurdle, {"gate_logits": -200.0}, 0.0, -200.0, {"gate_logits": 1.0}),
    Edge(dist.HurdlePoisson, {"gate": 1.0, "rate": 2.0}, 0.0, 0.0, {"gate": 1.0, "rate": 0.0}),
    Edge(hurdle_negative_binomial, {"gate": 0.0}, 1.0, math.log(0.5), {"gate": -1.0}),
    Edge(dist.Poisson, {"rate": 0.0}, 0.0, 0.0, {"rate": -1.0}),
    Edge(dist.Poisson, {"rate": 0.0}, 1.0, -INF),
    Edge(dist.Poisson, {"rate": 1e-30}, 1.0, math.log(1e-30), {"rate": 1e30}),
]


def at_end(make: Any, params: dict[str, float], value: Any, want: float, **slopes: float) -> Edge:
    return Edge(make, params, value, want, slopes)


def two(a: float, b: float) -> dict[str, float]:
    return {"concentration1": a, "concentration0": b}


def affine_beta(**p):
    one = torch.ones_like(p["loc"])
    return dist.AffineBeta(one, one, **p)


CASES += [
    at_end(dist.Uniform, {"low": 0.0, "high": 2.0}, 0.0, -math.log(2), low=0.5, high=-0.5),
    at_end(dist.Uniform, {"low": 0.0, "high": 2.0}, 2.0, -math.log(2), low=0.5, high=-0.5),
    at_end(dist.Beta, two(1.0, 1.0), 0.0, 0.0, concentration0=1.0),
    at_end(dist.Beta, two(1.0, 1.0), 1.0, 0.0, concentration1=1.0),
    at_end(dist.Beta, two(0.5, 2.0), 0.0, INF),
    at_end(dist.Beta, two(0.5, 2.0), 1.0, -INF),
    at_end(dist.Kumaraswamy, two(1.0, 1.0), 0.0, 0.0, concentration0=1.0),
    at_end(dist.Kumaraswamy, two(1.0, 1.0), 1.0, 0.0, concentration1=1.0),
    at_end(dist.Kumaraswamy, two(2.0, 1.0), 1.0, math.log(2), concentration1=0.5),
    at_end(dist.Kumaraswamy, two(0.5, 2.0), 0.0, INF),
    at_end(dist.Kumaraswamy, two(0.5, 2.0), 1.0, -INF),
    at_end(affine_beta, {"loc": -3.0, "scale": 5.0}, -3.0, -math.log(5), loc=0.0, scale=-0.2),
    at_end(affine_beta, {"loc": -3.0, "scale": 5.0}, 2.0, -math.log(5), loc=0.0, scale=-0.2),
    at_end(dist.Dirichlet, {"concentration": [1.0, 1.0]}, [0.0, 1.0], 0.0),
    at_end(dist.Dirichlet, {"concentration": [0.5, 1.0]}, [0.0, 1.0], INF),
    at_end(dist.Dirichlet, {"concentration": [2.0, 1.0]}, [0.0, 1.0], -INF),
    at_end(dist.Exponential, {"rate": 2.0}, 0.0, math.log(2), rate=0.5),
    at_end(dist.Gamma, {"concentration": 1.0, "rate": 2.0}, 0.0, math.log(2), rate=0.5),
    at_end(dist.Gamma, {"concentration": 0.5, "rate": 2.0}, 0.0, INF),
    at_end(dist.Gamma, {"concentration": 2.0, "rate": 2.0}, 0.0, -INF),
    at_end(dist.Chi2, {"df": 2.0}, 0.0, -math.log(2)),
    at_end(dist.Chi2, {"df": 1.0}, 0.0, INF),
    at_end(dist.FisherSnedecor, {"df1": 2.0, "df2": 3.0}, 0.0, 0.0, df2=0.0),
    at_end(dist.FisherSnedecor, {"df1": 4.0, "df2": 3.0}, 0.0, -INF),
    at_end(dist.Weibull, {"scale": 2.0, "concentration": 1.0}, 0.0, -math.log(2), scale=-0.5),
    at_end(dist.Weibull, {"scale": 2.0, "concentration": 0.5}, 0.0, INF),
    at_end(dist.Weibull, {"scale": 2.0, "concentration": 2.0}, 0.0, -INF),
    at_end(dist.HalfNormal, {"scale": 2.0}, 0.0, -math.log(2 * math.pi) / 2, scale=-0.5),
    at_end(dist.HalfCauchy, {"scale": 2.0}, 0.0, -math.log(math.pi), scale=-0.5),
    at_end(dist.Pareto, {"scale": 2.0, "alpha": 3.0}, 2.0, math.log(1.5), alpha=1 / 3),
    at_end(
        lambda loc: dist.FoldedDistribution(dist.Normal(loc, torch.ones_like(loc))),
        {"loc": 1.0},
        0.0,
        math.log(2) - math.log(2 * math.pi) / 2 - 0.5,
        loc=-1.0,
    ),
]
