"""Compile a recorded tensor program with torch's compiler, inductor."""

from __future__ import annotations

import operator
import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

Compiled = Callable[..., Sequence[Tensor]]

# checks of strides at each call, a third of the time of a small program
OPTIONS = {"size_asserts": False}


def find_compiler() -> str | None:
    """Return the path of a C++ compiler, None if there is none: then nothing can be compiled."""
    return next(filter(None, map(shutil.which, ("c++", "g++", "clang++", "cl"))), None)


def compile_program(program: GraphModule, inputs: Sequence[Tensor]) -> Compiled:
    """Return a compiled version of a recorded program.

    Tensors that the program holds become further inputs of what is compiled, so that programs
    which differ in them alone, in their data, share one entry of torch's cache on disk.

    Args:
        program: A recording whose arguments and results are flat: tensors only.
        inputs: Contiguous example inputs; all calls must have their shapes, dtypes and devices, and
            be contiguous too, which nobody checks.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # a second to import
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    constants = lift_constants(program)
    fakes = FakeTensorMode(shape_env=ShapeEnv())  # without one torch does not use its cache
    examples: list[Any] = [fakes.from_tensor(x, static_shapes=True) for x in (*inputs, *constants)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, about itself
        compiled: Any = torch._inductor.compile(program, examples, options=OPTIONS)
    return lambda *args: compiled(*args, *constants)


def lift_constants(program: GraphModule) -> list[Tensor]:
    """Make the tensors that a program holds its last inputs, in place, and return them."""
    graph = program.graph
    holders = graph.find_nodes(op="get_attr")
    last = graph.find_nodes(op="placeholder")[-1]
    lifted: dict[str, Any] = {}
    for node in holders:
        name = str(node.target)
        if name not in lifted:
            with graph.inserting_after(last):
                last = lifted[name] = graph.placeholder(f"constant_{len(lifted)}")
                last.meta.update(node.meta)
        node.replace_all_uses_with(lifted[name])
        graph.erase_node(node)
    program.recompile()
    return [operator.attrgetter(name)(program).detach().contiguous() for name in lifted]
