"""Importing defines things and does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    for source in ROOT.glob("packages/*/src")
    for file in source.rglob("*.py")
    if (parts := file.relative_to(source).with_suffix("").parts)[-1] != "__main__"
)
NEW_MODULES = """
import sys, torch
before = set(sys.modules)
import ppl
print(*sorted(set(sys.modules) - before))
"""

# Forking after torch is loaded makes a fresh start cheap: a child for each module.
IMPORT_EACH_FIRST = """
import importlib, os, sys, torch
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        importlib.import_module(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""

# Everything that a library could be tempted to set or to replace, before and after all our imports.
UNTOUCHED = """
import importlib, inspect, random, sys, warnings
import numpy, torch

def attributes():
    classes = [c for c in vars(torch.distributions).values() if inspect.isclass(c)]
    owners = [torch, torch.Tensor, torch.nn.Module, torch.nn.Parameter, torch.optim.Optimizer,
              torch.distributions, torch.distributions.constraints, torch.distributions.transforms]
    return {(repr(o), name): id(v) for o in [*owners, *classes] for name, v in vars(o).items()
            if not name.startswith("_abc") and not inspect.ismodule(v)}

def settings():
    return {
        "torch random state": bytes(torch.get_rng_state().tolist()),
        "numpy random state": bytes(numpy.random.get_state()[1]),
        "python random state": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "print options": repr(vars(torch._tensor_str.PRINT_OPTS)),
        "warning filters": list(warnings.filters),
        "recursion limit": sys.getrecursionlimit(),
    }

modules = sys.argv[1:]
old_attributes, old_settings = attributes(), settings()
for name in modules:
    importlib.import_module(name)
new_attributes, new_settings = attributes(), settings()
print(*[f"{o}.{n}" for (o, n), v in new_attributes.items() if old_attributes.get((o, n)) != v],
      *[n for n, v in new_settings.items() if old_settings[n] != v], sep="\\n", end="")
"""


def printed_by(program: str, *arguments: str) -> str:
    """Return what a program prints in a fresh interpreter."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def new_modules() -> list[str]:
    """Return the modules that ``import ppl`` loads beyond those of ``import torch``."""
    return printed_by(NEW_MODULES).split()


@pytest.mark.parametrize("package", ["distributions", "ops", "optim", "infer", "contrib"])
def test_importing_the_root_loads_no_other_distribution(
    new_modules: list[str], package: str
) -> None:
    inside = (f"ppl.{package}", f"ppl.{package}.")
    assert [name for name in new_modules if name == inside[0] or name.startswith(inside[1])] == []


def test_importing_the_root_loads_no_compiler_and_no_optional_library(
    new_modules: list[str],
) -> None:
    heavy = {"scipy", "pandas", "matplotlib", "arviz", "tqdm", "sympy"}
    compilers = ("torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes")
    assert heavy.isdisjoint(new_modules)
    assert [name for name in new_modules if name.startswith(compilers)] == []


def test_every_module_can_be_imported_first() -> None:
    assert printed_by(IMPORT_EACH_FIRST, *MODULES).split() == []


def test_importing_everything_patches_nothing_and_sets_nothing() -> None:
    assert printed_by(UNTOUCHED, *MODULES) == ""
