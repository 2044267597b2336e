"""Time log densities: hidden Markov models against pyro-ppl, wrapped families against torch.

    python tools/bench/distributions.py --length 1000 --repeats 25

Prints microseconds of the log density of a series, with construction, and of its gradient, and as
ratios (ours over theirs; smaller is better) the first alone and both together; then nanoseconds of
``log_prob`` of every family of torch in our wrapping and bare. The two alternate, the fastest of
the repeats counts, and the clock is that of the thread, so that what else the machine does matters
little.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from time import thread_time
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

Score = Callable[[], tuple[Tensor, Tensor]]


class Times(NamedTuple):
    """Seconds of a log density and of its gradient."""

    value: float
    gradient: float


def discrete(lib: ModuleType, length: int, states: int) -> Score:
    """Score a series of normal observations of a chain."""
    initial, transition = torch.randn(states), torch.randn(states, states)
    loc, x = torch.randn(states, requires_grad=True), torch.randn(length)

    def score() -> tuple[Tensor, Tensor]:
        return lib.DiscreteHMM(initial, transition, lib.Normal(loc, 1.0)).log_prob(x), loc

    return score


def gaussian(lib: ModuleType, length: int, states: int, is_moving: bool = False) -> Score:
    """Score two observations a step of a linear process."""
    steps = (length,) if is_moving else ()
    matrix = (0.9 * torch.eye(states)).expand(*steps, states, states).clone().requires_grad_()
    observation, x = torch.randn(states, 2), torch.randn(length, 2)

    def score() -> tuple[Tensor, Tensor]:
        state = lib.MultivariateNormal(torch.zeros(states), scale_tril=torch.eye(states))
        noise = lib.Normal(torch.zeros(2), 1.0).to_event(1)
        return lib.GaussianHMM(state, matrix, state, observation, noise).log_prob(x), matrix

    return score


def moving_gaussian(lib: ModuleType, length: int, states: int) -> Score:
    """The same with a transition matrix for each step."""
    return gaussian(lib, length, states, is_moving=True)


SERIES = {discrete: (2, 4, 8, 16, 32, 64), gaussian: (1, 2, 4, 8), moving_gaussian: (1, 2, 4, 8)}


def family_arguments(size: int) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return arguments for each family of torch, by name."""
    torch.manual_seed(0)
    real, positive, unit = torch.randn(size), torch.rand(size) + 0.5, torch.rand(size) * 0.8 + 0.1
    rows, simplex = torch.randn(size, 3), torch.rand(size, 3).softmax(-1)
    tril = torch.eye(3).expand(size, 3, 3)
    plain: dict[str, tuple[Any, ...]] = {
        "Bernoulli": (unit,),
        "Beta": (positive, positive),
        "Binomial": (10, unit),
        "Categorical": (simplex,),
        "Cauchy": (real, positive),
        "Chi2": (positive,),
        "ContinuousBernoulli": (unit,),
        "Dirichlet": (simplex,),
        "Exponential": (positive,),
        "FisherSnedecor": (positive, positive),
        "Gamma": (positive, positive),
        "GeneralizedPareto": (real, positive, unit),
        "Geometric": (unit,),
        "Gumbel": (real, positive),
        "HalfCauchy": (positive,),
        "HalfNormal": (positive,),
        "InverseGamma": (positive, positive),
        "Kumaraswamy": (positive, positive),
        "LKJCholesky": (3, positive),
        "Laplace": (real, positive),
        "LogNormal": (real, positive),
        "LogisticNormal": (rows, simplex),
        "LowRankMultivariateNormal": (rows, rows.unsqueeze(-1), simplex),
        "NegativeBinomial": (positive, unit),
        "Normal": (real, positive),
        "OneHotCategorical": (simplex,),
        "OneHotCategoricalStraightThrough": (simplex,),
        "Pareto": (positive, positive),
        "Poisson": (positive,),
        "RelaxedBernoulli": (torch.tensor(0.5), unit),
        "RelaxedOneHotCategorical": (torch.tensor(0.5), simplex),
        "StudentT": (positive + 2, real, positive),
        "Uniform": (real, real + positive),
        "VonMises": (real, positive),
        "Weibull": (positive, positive),
    }
    named = {
        "Multinomial": ((5, simplex), {}),
        "MultivariateNormal": ((rows,), {"scale_tril": tril}),
        "Wishart": ((positive + 3,), {"scale_tril": tril}),
    }
    return {**{name: (arguments, {}) for name, arguments in plain.items()}, **named}


def log_prob_of(module: ModuleType, name: str, size: int) -> Callable[[], Any]:
    """Return a call of the log density of a family at one of its draws."""
    arguments, options = family_arguments(size)[name]
    family = getattr(module, name)(*arguments, **options)
    value = family.sample()
    return lambda: family.log_prob(value)


def race(runs: Sequence[Callable[[], Any]], repeats: int) -> list[Any]:
    """Return the results that are the fastest in each place; the runs take turns."""
    for run in runs:
        run()
    rounds = [[run() for run in runs] for _ in range(repeats)]
    return [tuple(map(min, zip(*results, strict=True))) for results in zip(*rounds, strict=True)]


def timed_score(score: Score) -> Times:
    """Return the time of a log density and of its gradient."""
    start = thread_time()
    value, parameter = score()
    middle = thread_time()
    torch.autograd.grad(value, parameter)
    return Times(middle - start, thread_time() - middle)


def timed_calls(call: Callable[[], Any], calls: int) -> tuple[float]:
    """Return the time of one of many calls."""
    start = thread_time()
    for _ in range(calls):
        call()
    return ((thread_time() - start) / calls,)


def race_series(length: int, repeats: int, peer: str) -> None:
    """Print a table of the hidden Markov models."""
    libraries = [importlib.import_module(f"{root}.distributions") for root in ("ppl", peer)]
    for lib in libraries:
        lib.enable_validation(False)
    print(f"microseconds, {length} steps; log density + gradient")
    print(f"{'':16}{'states':>7}{'ppl':>16}{peer:>16}{'density':>9}{'both':>6}")
    for model, sizes in SERIES.items():
        for states in sizes:
            runs = [
                lambda m=m: timed_score(m)
                for m in (model(lib, length, states) for lib in libraries)
            ]
            ours, theirs = (Times(*times) for times in race(runs, repeats))
            columns = [f"{1e6 * t.value:8.0f}{1e6 * t.gradient:8.0f}" for t in (ours, theirs)]
            ratios = f"{ours.value / theirs.value:9.2f}{sum(ours) / sum(theirs):6.2f}"
            print(f"{model.__name__:16}{states:7}{columns[0]}{columns[1]}{ratios}")


def race_families(size: int, calls: int, repeats: int) -> None:
    """Print a table of the wrapped families."""
    modules = [
        importlib.import_module(name) for name in ("ppl.distributions", "torch.distributions")
    ]
    print(f"nanoseconds of log_prob, {size} parameters each")
    print(f"{'':34}{'ppl':>9}{'torch':>9}{'ratio':>8}")
    for name in sorted(family_arguments(size)):
        scores = [log_prob_of(module, name, size) for module in modules]
        runs = [lambda s=s: timed_calls(s, calls) for s in scores]
        (ours,), (theirs,) = race(runs, repeats)
        print(f"{name:34}{1e9 * ours:9.0f}{1e9 * theirs:9.0f}{ours / theirs:8.2f}")


def main() -> None:
    """Run all benchmarks and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=1000, help="time steps of a series")
    parser.add_argument("--size", type=int, default=10, help="parameters of a family")
    parser.add_argument("--calls", type=int, default=200, help="calls of a family, one measurement")
    parser.add_argument("--repeats", type=int, default=25, help="measurements, the fastest counts")
    parser.add_argument("--peer", default="pyro", help="root module of the other library")
    options = parser.parse_args()

    torch.set_num_threads(1)
    race_series(options.length, options.repeats, options.peer)
    race_families(options.size, options.calls, options.repeats)


if __name__ == "__main__":
    main()
