"""Race NUTS against its peers: the same models and data, one run, one process for each system.

    python tools/bench/nuts.py --systems ppl ppl:64:100:500 numpyro --models eight_schools
    python tools/bench/nuts.py --python numpyro=/path/to/python --python stan=/path/to/python

The systems are ppl, pyro, numpyro, nutpie (PyMC) and stan (PyStan), each as ``name``,
``name:chains`` or ``name:chains:warmup:draws``, by default 4 chains of 1000 + 1000 draws:
``numpyro ppl ppl:64:100:500`` shows the usual call beside a better setting.  Each has a process,
where the first run is cold, with whatever it has to compile; then follow warm ones with other
seeds.  The table shows seconds, the smallest bulk effective sample size of all numbers of all
sites, the largest R-hat, effective draws per second when warm, and the ratio of that to the first
system's.  Seconds and effective sample sizes are means of the warm runs: a single smallest one
differs by a fifth between seeds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_SETTING = ["4", "1000", "1000"]  # chains, warm-up, draws
SYSTEMS = ["ppl", "ppl:64:100:500", "numpyro", "nutpie"]
MODELS = ["eight_schools", "logistic", "logistic_large", "hierarchy", "sparse_gp", "item_response"]


def sampler(system: str, model: str) -> Any:
    """Return a function of chains, warm-up, draws and seed that returns draws by site."""
    if system == "numpyro":
        from tools.bench.race import numpyro_models

        return lambda *settings: numpyro_models.run(model, *settings)
    if system == "nutpie":
        from tools.bench.race import pymc_models

        return pymc_models.sampler(model)
    if system == "stan":
        from tools.bench.race import stan_models

        return lambda *settings: stan_models.run(model, *settings)
    return lambda *settings: run_torch(system, model, *settings)


def run_torch(
    root: str, name: str, chains: int, warmup: int, draws: int, seed: int
) -> dict[str, Any]:
    """Run ppl, or Pyro with its compiler and a process for each chain."""
    import importlib

    import torch
    from tools.bench.race import torch_models

    model = torch_models.load(root, name)
    mcmc = importlib.import_module(f"{root}.infer.mcmc")
    torch.manual_seed(seed)
    options = {"jit_compile": True, "ignore_jit_warnings": True} if root == "pyro" else {}
    processes = {"num_processes": 2} if root == "ppl" and chains > 4 else {}
    run = mcmc.MCMC(
        mcmc.NUTS(model, **options), draws, warmup, num_chains=chains, disable_progbar=True,
        **processes,
    )  # fmt: skip
    run.run()
    return {k: v.detach().numpy() for k, v in run.get_samples(group_by_chain=True).items()}


def work(system: str, model: str, folder: Path, runs: int, *setting: int) -> None:
    """Run cold and then `runs` times warm, and write times and draws to files."""
    start = perf_counter()
    run = sampler(system, model)
    run(*setting, 1)
    np.savez(folder / "0.npz", seconds_=perf_counter() - start)
    for number in range(1, runs + 1):
        start = perf_counter()
        samples = run(*setting, number + 1)
        np.savez(folder / f"{number}.npz", seconds_=perf_counter() - start, **samples)


def measure(system: str, model: str, options: argparse.Namespace) -> list[float] | None:
    """Return seconds cold and warm, smallest bulk ESS and largest R-hat; None if it failed."""
    name, *setting = system.split(":")
    python = dict(p.split("=") for p in options.python).get(name, sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", "tools.bench.nuts", "--worker", name, model, folder]
        command += [str(options.runs), *setting, *DEFAULT_SETTING[len(setting) :]]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            print(done.stderr.decode().strip().splitlines()[-1])
            return None
        cold = float(np.load(Path(folder) / "0.npz")["seconds_"])
        warm = [judge(Path(folder) / f"{i}.npz") for i in range(1, options.runs + 1)]
    seconds, ess, r_hat = np.array(warm).T
    return [cold, seconds.mean(), ess.mean(), r_hat.max()]


def judge(file: Path) -> list[float]:
    """Return the seconds of a run, its smallest bulk ESS and its largest R-hat."""
    import torch

    from ppl.ops.stats import ess_bulk, rhat

    found = dict(np.load(file))
    seconds = float(found.pop("seconds_"))
    numbers = [torch.as_tensor(x).double().reshape(*x.shape[:2], -1) for x in found.values()]
    joined = torch.cat(numbers, -1)
    return [seconds, float(ess_bulk(joined).min()), float(rhat(joined).max())]


def main() -> None:
    """Run every system on every model and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=SYSTEMS)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=INTERPRETER")
    parser.add_argument("--runs", type=int, default=1, help="warm runs of each system")
    parser.add_argument("--worker", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        system, model, folder, *numbers = options.worker
        work(system, model, Path(folder), *map(int, numbers))
        return
    for model in options.models:
        print(f"\n{model}")
        print(
            f"{'':20}{'cold s':>9}{'warm s':>9}{'min ESS':>9}{'R-hat':>8}{'ESS/s':>10}{'ratio':>8}"
        )
        first = None
        for system in options.systems:
            result = measure(system, model, options)
            if result is None:
                continue
            cold, warm, ess, r_hat = result
            first = first or ess / warm
            rate = ess / warm
            print(
                f"{system:20}{cold:9.1f}{warm:9.2f}{ess:9.0f}{r_hat:8.3f}{rate:10.0f}"
                f"{rate / first:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
