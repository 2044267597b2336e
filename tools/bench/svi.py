"""Race variational inference against its peers: the same models and data, one run, one thread.

    python tools/bench/svi.py --models logistic vae
    python tools/bench/svi.py --python numpyro=/path/to/python --python pyro=/path/to/python

The systems are ppl and pyro by ``fit``, ``step`` or ``jit`` losses, numpyro by a ``loop`` over its
``update`` or one ``scan``, and loops by ``hand``, ``plain`` or ``compiled``; each has a process of
its own. The table shows seconds from the start to the end of the first steps (cold, with imports
and compilers), processor microseconds of a step when warm, the ratio
of that to the first system's, seconds to a fixed ELBO, and the mean loss at the end. That ELBO is
nearly the first system's at the end of its first steps. All have one
learning rate of Adam.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = [
    "ppl:fit", "ppl:step", "hand:plain", "hand:compiled", "pyro:step", "pyro:jit",
    "numpyro:loop", "numpyro:scan",
]  # fmt: skip
MODELS = {"logistic": 2000, "vae": 200, "hierarchy": 2000, "mixture": 1000, "hmm": 200}  # steps
AT_ONCE = ("fit", "scan")  # ways that take many steps in a call, which NumPyro compiles anew
REPEATS, WINDOW = 3, 50
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def start(system: str, way: str, model: str) -> Any:
    """Return a function of a number of steps that takes them and returns their losses."""
    if system == "numpyro":
        from tools.bench.race import svi_numpyro

        return svi_numpyro.start(way, model)
    if system == "hand":
        from tools.bench.race import svi_by_hand

        return svi_by_hand.start(way, model)
    from tools.bench.race import svi_torch

    return svi_torch.start(system, way, model)


def work(system: str, way: str, model: str, num_steps: int) -> dict[str, Any]:
    """Take steps, cold and then warm, and return times and losses."""
    began = time.perf_counter()
    run = start(system, way, model)
    losses = [float(x) for x in run(num_steps)]
    cold = time.perf_counter() - began
    return {"cold": cold, "warm": warm(run, num_steps, way), "losses": losses}


def warm(run: Any, num_steps: int, way: str) -> float:
    """Return the processor seconds of a step, without what each call costs."""
    longer = (21 if way in AT_ONCE else 2) * num_steps
    short, long = (min(seconds(run, n) for _ in range(REPEATS)) for n in (num_steps, longer))
    return (long - short) / (longer - num_steps)


def seconds(run: Any, num_steps: int) -> float:
    """Return the processor seconds of some steps."""
    began = time.process_time()
    run(num_steps)
    return time.process_time() - began


def measure(system: str, model: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """Return what a process of the system found; None if it failed."""
    name, way = system.split(":")
    python = dict(p.split("=") for p in options.python).get(name, sys.executable)
    steps = str(max(WINDOW, int(MODELS[model] * options.scale)))
    command = [python, "-m", "tools.bench.svi", "--worker", name, way, model, steps]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}
    )
    if done.returncode:
        print(f"{system:16}", (done.stderr.strip().splitlines() or ["failed"])[-1][:90])
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def reached(found: dict[str, Any], level: float) -> float:
    """Return the seconds until the mean of some losses is at a level; infinity if it never is."""
    losses = found["losses"]
    for i in range(WINDOW, len(losses) + 1):
        if sum(losses[i - WINDOW : i]) / WINDOW <= level:
            return float(found["cold"] - (len(losses) - i) * found["warm"])
    return float("inf")


def main() -> None:
    """Run every system on every model and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=SYSTEMS)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=INTERPRETER")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of steps")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        system, way, model, num_steps = options.worker
        print(json.dumps(work(system, way, model, int(num_steps))))
        return
    for model in options.models:
        heads = f"{'cold s':>8}{'warm us':>10}{'ratio':>8}{'to ELBO s':>11}{'loss':>12}"
        print(f"\n{model}\n{'':16}{heads}")
        first: dict[str, Any] | None = None
        for system in options.systems:
            found = measure(system, model, options)
            if found is None:
                continue
            first = first or found
            last = sum(first["losses"][-WINDOW:]) / WINDOW
            seconds = reached(found, last + 0.01 * abs(last))
            mean = sum(found["losses"][-WINDOW:]) / WINDOW
            print(
                f"{system:16}{found['cold']:8.1f}{found['warm'] * 1e6:10.1f}"
                f"{found['warm'] / first['warm']:8.2f}{seconds:11.1f}{mean:12.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
