"""Models written with Python loops beside their vectorized twins: gradients, and whole runs.

Usage: ``python tools/bench/loops.py [MODEL[:SIZE] ...] [--run]``; all models if none is named.  One
line each: the operations of the loop, nodes of the programs, CPU seconds until the gradient of four
chains is compiled (nothing cached), and its microseconds.  With ``--run`` also the seconds of
4 x (500 + 500) transitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

import ppl
import ppl.distributions as dist
from ppl.infer import MCMC, NUTS
from ppl.infer.mcmc.chains.execution import choose_potential
from ppl.validation import validation_enabled

Model = Callable[[], Any]
CHAINS, DRAWS = 4, 500


def normal(name: str, loc: Any = 0.0, scale: Any = 1.0, **kwargs: Any) -> Any:
    """Return a site with a normal distribution."""
    return ppl.sample(name, dist.Normal(loc, scale), **kwargs)


def positive(name: str) -> Any:
    """Return a site with a half-normal distribution."""
    return ppl.sample(name, dist.HalfNormal(1.0))


def vector(name: str, size: int) -> Any:
    """Return a site of independent standard normal numbers."""
    return ppl.sample(name, dist.Normal(torch.zeros(size), 1.0).to_event(1))


def series(size: int) -> torch.Tensor:
    """Return a random walk."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).cumsum(0) * 0.3


def walk(size: int) -> tuple[Model, Model]:
    """A random walk, observed with noise."""
    y = series(size)

    def loop() -> None:
        s, x = positive("s"), torch.zeros(())
        for t in range(size):
            x = normal(f"x_{t}", x, s)
            normal(f"y_{t}", x, 0.5, obs=y[t])

    def hand() -> None:
        s = positive("s")
        x = ppl.sample("x", dist.ImproperUniform(dist.constraints.real, (), (size,)))
        before = torch.cat([torch.zeros(1), x[:-1]])
        ppl.factor("walk", dist.Normal(before, s).log_prob(x).sum())
        ppl.sample("y", dist.Normal(x, 0.5).to_event(1), obs=y)

    return loop, hand


def steps(size: int) -> tuple[Model, Model]:
    """The same, by its steps: a recurrence."""
    y = series(size)

    def loop() -> None:
        s, x = positive("s"), torch.zeros(())
        for t in range(size):
            x = x + s * normal(f"e_{t}")
            normal(f"y_{t}", x, 0.5, obs=y[t])

    def hand() -> None:
        s = positive("s")
        x = (s * vector("e", size)).cumsum(0)
        ppl.sample("y", dist.Normal(x, 0.5).to_event(1), obs=y)

    return loop, hand


def ar2(size: int) -> tuple[Model, Model]:
    """An autoregression of the second order."""
    y = series(size)

    def loop() -> None:
        a, b, c, s = normal("a"), normal("b"), normal("c"), positive("s")
        for t in range(2, size):
            normal(f"y_{t}", c + a * y[t - 1] + b * y[t - 2], s, obs=y[t])

    def hand() -> None:
        a, b, c, s = normal("a"), normal("b"), normal("c"), positive("s")
        law = dist.Normal(c + a * y[1:-1] + b * y[:-2], s).to_event(1)
        ppl.sample("y", law, obs=y[2:])

    return loop, hand


def rows(size: int) -> tuple[Model, Model]:
    """A logistic regression, row by row."""
    x = torch.randn(size, 5, generator=torch.Generator().manual_seed(0))
    y = (x.sum(-1) > 0).float()

    def loop() -> None:
        w, c = vector("w", 5), normal("c")
        for i in ppl.plate("rows", size):
            ppl.sample(f"y_{i}", dist.Bernoulli(logits=x[i] @ w + c), obs=y[i])

    def hand() -> None:
        w, c = vector("w", 5), normal("c")
        with ppl.plate("rows", size):
            ppl.sample("y", dist.Bernoulli(logits=x @ w + c), obs=y)

    return loop, hand


def scalars(size: int) -> tuple[Model, Model]:
    """A regression with a site for each weight."""
    x = torch.randn(200, size, generator=torch.Generator().manual_seed(0))
    y = x[:, 0]

    def loop() -> None:
        s, mean = positive("s"), torch.zeros(())
        for i in range(size):
            mean = mean + normal(f"w_{i}") * x[:, i]
        with ppl.plate("rows", 200):
            normal("y", mean, s, obs=y)

    def hand() -> None:
        s, w = positive("s"), vector("w", size)
        with ppl.plate("rows", 200):
            normal("y", x @ w, s, obs=y)

    return loop, hand


def groups(size: int) -> tuple[Model, Model]:
    """Groups with their own intercepts and slopes."""
    x, y = torch.randn(2, size, 20, generator=torch.Generator().manual_seed(0))

    def means() -> tuple[Any, ...]:
        return normal("ma"), normal("mb"), positive("sa"), positive("sb"), positive("s")

    def loop() -> None:
        ma, mb, sa, sb, s = means()
        for j in range(size):
            a, b = normal(f"a_{j}", ma, sa), normal(f"b_{j}", mb, sb)
            with ppl.plate(f"rows_{j}", 20):
                normal(f"y_{j}", a + b * x[j], s, obs=y[j])

    def hand() -> None:
        ma, mb, sa, sb, s = means()
        with ppl.plate("groups", size, dim=-2):
            a, b = normal("a", ma, sa), normal("b", mb, sb)
            with ppl.plate("rows", 20, dim=-1):
                normal("y", a + b * x, s, obs=y)

    return loop, hand


MODELS = {
    "walk": (walk, 200),
    "steps": (steps, 200),
    "ar2": (ar2, 200),
    "rows": (rows, 200),
    "scalars": (scalars, 300),
    "groups": (groups, 50),
}


def microseconds(fn: Callable[[Any], Any], x: Any, calls: int = 200) -> float:
    """Return the CPU time of a call, the least of several tries."""
    found = []
    for _ in range(8):
        start = time.process_time()
        for _ in range(calls):
            fn(x)
        found.append((time.process_time() - start) / calls * 1e6)
    return min(found)


def measure(label: str, model: Model, runs: bool) -> None:
    """Print a line about a model."""
    ppl.set_rng_seed(0)
    start = time.process_time()
    target = NUTS(model).target(CHAINS, (), {})
    with validation_enabled(False):
        potential: Any = choose_potential(target.potential, target.start, 1000, True)
    ready = time.process_time() - start
    nodes = len(getattr(potential.program, "recorded", potential.program).graph.nodes)
    line = f"{label:18} {nodes:5} nodes, ready in {ready:5.1f} s, "
    line += f"gradient {microseconds(potential, target.start):6.1f} us; {potential.loops}"
    print(line, flush=True)
    if runs:
        start = time.perf_counter()
        mcmc = MCMC(NUTS(model), DRAWS, DRAWS, num_chains=CHAINS, disable_progbar=True)
        mcmc.run()
        mcmc.get_samples()
        print(f"{label:18} {time.perf_counter() - start:.1f} s for {CHAINS} x {2 * DRAWS}")


def main() -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL[:SIZE]")
    parser.add_argument("--run", action="store_true")
    given = parser.parse_args()
    import torch._inductor.config

    torch._inductor.config.force_disable_caches = True
    torch.set_num_threads(1)
    measure("(first)", walk(10)[1], False)  # imports
    for name in given.models:
        kind, _, size = name.partition(":")
        make, usual = MODELS[kind]
        loop, hand = make(int(size or usual))
        measure(f"{name} loop", loop, given.run)
        measure(f"{name} by hand", hand, given.run)


if __name__ == "__main__":
    main()
