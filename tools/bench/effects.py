"""Time the effect runtime against pyro-ppl, per site, in one process.

    python tools/bench/effects.py --sites 100 --repeats 7

Prints, for each way of running a model, the microseconds per site of both libraries and the ratio
(ours over theirs; smaller is better). The two alternate, and the fastest of the repeats counts, so
that what else the machine does matters little. Tensors are scalars: what remains is the handlers.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any, NamedTuple

import torch


class Library(NamedTuple):
    """What a benchmark needs of a library."""

    name: str
    root: ModuleType
    poutine: ModuleType
    normal: Any


def library(root: str) -> Library:
    """Return a library by the name of its root module."""
    names = (root, f"{root}.poutine", f"{root}.distributions")
    module, poutine, distributions = map(importlib.import_module, names)
    return Library(root, module, poutine, distributions.Normal)


Program = Callable[[], Any]


def plain_model(lib: Library, sites: int) -> Program:
    """Return a model of independent latent sites."""
    zero = torch.zeros(())

    def model() -> None:
        for i in range(sites):
            lib.root.sample(f"x{i}", lib.normal(zero, 1.0))

    return model


def plated_model(lib: Library, sites: int) -> Program:
    """Return the same model with observations, inside a subsampled plate and a scale."""
    zeros = torch.zeros(5)

    def model() -> None:
        with lib.poutine.scale(scale=2.0), lib.root.plate("data", 10, subsample_size=5):
            for i in range(sites):
                lib.root.sample(f"x{i}", lib.normal(zeros, 1.0), obs=zeros)

    return model


def draws(lib: Library, sites: int) -> Program:
    """Run the model without handlers: the distributions' own time."""
    return plain_model(lib, sites)


def messages(lib: Library, sites: int) -> Program:
    """Record a model whose sites draw nothing: the handlers' own time."""
    value = torch.zeros(())

    def model() -> None:
        for i in range(sites):
            lib.root.sample(f"x{i}", lambda: value)

    return lib.poutine.trace(model).get_trace


def trace(lib: Library, sites: int) -> Program:
    """Record the model."""
    return lib.poutine.trace(plain_model(lib, sites)).get_trace


def trace_in_plate(lib: Library, sites: int) -> Program:
    """Record the model with a plate and a scale."""
    return lib.poutine.trace(plated_model(lib, sites)).get_trace


def replay(lib: Library, sites: int) -> Program:
    """Record the model at the values of an earlier execution."""
    model = plain_model(lib, sites)
    recorded = lib.poutine.trace(model).get_trace()
    return lib.poutine.trace(lib.poutine.replay(model, trace=recorded)).get_trace


def log_prob_sum(lib: Library, sites: int) -> Program:
    """Score a recorded execution."""
    recorded = lib.poutine.trace(plain_model(lib, sites)).get_trace()

    def score() -> Any:
        for site in recorded.nodes.values():  # log densities are computed once and kept
            for key in ("log_prob", "log_prob_sum", "unscaled_log_prob"):
                site.pop(key, None)
        return recorded.log_prob_sum()

    return score


BENCHMARKS = (draws, messages, trace, trace_in_plate, replay, log_prob_sum)


def seconds(program: Program, calls: int) -> float:
    """Return the time of one call."""
    start = perf_counter()
    for _ in range(calls):
        program()
    return (perf_counter() - start) / calls


def race(programs: list[Program], calls: int, repeats: int) -> list[float]:
    """Return the fastest time of each program; they take turns."""
    for program in programs:
        program()
    rounds = [[seconds(program, calls) for program in programs] for _ in range(repeats)]
    return [min(times) for times in zip(*rounds, strict=True)]


def main() -> None:
    """Run all benchmarks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--calls", type=int, default=5, help="calls in one measurement")
    parser.add_argument("--repeats", type=int, default=7, help="measurements, the fastest counts")
    parser.add_argument("--peer", default="pyro", help="root module of the other library")
    parser.add_argument("--validate", action="store_true", help="with validation switched on")
    options = parser.parse_args()

    torch.set_num_threads(1)
    libraries = [library("ppl"), library(options.peer)]
    for lib in libraries:
        lib.root.enable_validation(options.validate)
    print(f"microseconds per site, {options.sites} sites, validation={options.validate}")
    print(f"{'':16}{'ppl':>8}{options.peer:>8}{'ratio':>8}")
    for benchmark in BENCHMARKS:
        programs = [benchmark(lib, options.sites) for lib in libraries]
        ours, theirs = (
            1e6 * time / options.sites for time in race(programs, options.calls, options.repeats)
        )
        print(f"{benchmark.__name__:16}{ours:8.1f}{theirs:8.1f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
