"""Race guides and flows against Pyro: the same models, one run, one process for each system.

    python tools/bench/guides.py --python pyro=/path/to/python

The tasks are steps of SVI with an inverse autoregressive flow, and with a full covariance over a
hierarchy of 200 unknowns, and the density of a spline flow with its gradient.  ppl compiles whole
steps where its SVI can, and the density of the flow.  Each system has a process, where cold
steps come first and are not counted; then rounds of steps, of which the fastest counts: others ran
beside something else.  The table shows microseconds and the ratio of Pyro's to ppl's.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WANTED = {"iaf": 5.0, "hierarchy": 10.0, "spline": 2.0}  # times as fast as Pyro
WARMUP = 10


def svi_steps(root: str, model: Any, guide: Any) -> Callable[[], Any]:
    """Return a step of SVI, a compiled one where that is offered."""
    infer, optim = (importlib.import_module(f"{root}.{name}") for name in ("infer", "optim"))
    options = {"compile": True} if "compile" in inspect.signature(infer.SVI).parameters else {}
    loss = infer.Trace_ELBO()
    return infer.SVI(model, guide, optim.Adam({"lr": 0.001}), loss, **options).step  # type: ignore[no-any-return]


def iaf(root: str) -> Callable[[], Any]:
    """Return a step of a flow of two transforms over the weights of a logistic regression."""
    import torch

    ppl, dist = (importlib.import_module(name) for name in (root, f"{root}.distributions"))
    autoguide = importlib.import_module(f"{root}.infer.autoguide")
    x = torch.randn(200, 20)
    y = (x.sum(-1) > 0).float()

    def model() -> None:
        w = ppl.sample("w", dist.Normal(torch.zeros(20), 1.0).to_event(1))
        with ppl.plate("rows", 200):
            ppl.sample("y", dist.Bernoulli(logits=x @ w), obs=y)

    guide = autoguide.AutoIAFNormal(model, hidden_dim=[40], num_transforms=2)
    return svi_steps(root, model, guide)


def hierarchy(root: str) -> Callable[[], Any]:
    """Return a step with a full covariance for the 198 groups of a hierarchy and their moments."""
    import torch

    ppl, dist = (importlib.import_module(name) for name in (root, f"{root}.distributions"))
    autoguide = importlib.import_module(f"{root}.infer.autoguide")
    y = torch.randn(198)

    def model() -> None:
        mean = ppl.sample("mean", dist.Normal(0.0, 5.0))
        scale = ppl.sample("scale", dist.LogNormal(0.0, 1.0))
        with ppl.plate("groups", 198):
            effect = ppl.sample("effect", dist.Normal(mean, scale))
            ppl.sample("y", dist.Normal(effect, 1.0), obs=y)

    return svi_steps(root, model, autoguide.AutoMultivariateNormal(model))


def spline(root: str) -> Callable[[], Any]:
    """Return the density of three coupling layers of splines, and its gradient."""
    import torch

    dist = importlib.import_module(f"{root}.distributions")
    make = importlib.import_module(f"{root}.distributions.transforms").spline_coupling
    transforms = [make(8, hidden_dims=[64, 64]) for _ in range(3)]
    base = dist.Normal(torch.zeros(8), torch.ones(8)).to_event(1)
    flow = dist.TransformedDistribution(base, transforms)
    parameters = [p for transform in transforms for p in transform.parameters()]
    x = torch.randn(256, 8)

    def density(x: Any) -> Any:
        return -flow.log_prob(x.clone()).mean()  # another object: the inverse is not cached

    run = importlib.import_module("ppl.ops.jit").compile(density) if root == "ppl" else density

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        run(x).backward()

    return step


def work(root: str, task: str, rounds: int, steps: int) -> None:
    """Print the microseconds of a step: the fastest of some rounds."""
    import torch

    torch.manual_seed(0)
    step = {"iaf": iaf, "hierarchy": hierarchy, "spline": spline}[task](root)
    for _ in range(WARMUP):
        step()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        for _ in range(steps):
            step()
        times.append((perf_counter() - start) / steps)
    print(min(times) * 1e6)


def measure(root: str, task: str, options: argparse.Namespace) -> float:
    """Return the microseconds of a step, measured in a process of its own."""
    python = dict(p.split("=") for p in options.python).get(root, sys.executable)
    settings = [str(options.rounds), str(options.steps)]
    command = [python, "-m", "tools.bench.guides", "--worker", root, task, *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{root} failed at {task}:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def main() -> None:
    """Run both systems at every task and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(WANTED), choices=list(WANTED))
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=INTERPRETER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        root, task, *numbers = options.worker
        work(root, task, *map(int, numbers))
        return
    print(f"{'':12}{'pyro us':>10}{'ppl us':>10}{'ratio':>8}{'wanted':>8}")
    for task in options.tasks:
        theirs, ours = (measure(root, task, options) for root in ("pyro", "ppl"))
        print(
            f"{task:12}{theirs:10.0f}{ours:10.0f}{theirs / ours:8.1f}{WANTED[task]:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
