"""Compile a recorded tensor program with torch's compiler, inductor."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

Compiled = Callable[..., Sequence[Tensor]]

# checks of strides at each call, a third of the time of a small program
OPTIONS = {"size_asserts": False}


_compiled: dict[tuple[Any, ...], Compiled] = {}


def compile_program(program: GraphModule, inputs: Sequence[Tensor]) -> Compiled:
    """Return a compiled version of a recorded program.

    Tensors that the program holds become further inputs of what is compiled, so that programs
    which differ in them alone, in their data, are compiled once: in a process, and with the help of
    torch's cache on disk on a machine.

    Args:
        program: A recording whose arguments and results are flat: tensors only.
        inputs: Contiguous example inputs; all calls must have their shapes, dtypes and devices, and
            be contiguous too, which nobody checks.
    """
    program, constants = lift_constants(program)
    examples = [*inputs, *constants]
    key = (program.code, *((x.shape, x.dtype, x.device) for x in examples), torch.get_num_threads())
    if key not in _compiled:
        _compiled[key] = _compile(program, examples)
    compiled = _compiled[key]
    return lambda *args: compiled(*args, *constants)


def _compile(program: GraphModule, examples: Sequence[Tensor]) -> Compiled:
    from torch._subclasses.fake_tensor import FakeTensorMode  # a second to import
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    fakes = FakeTensorMode(shape_env=ShapeEnv())  # without one torch does not use its cache
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, about itself
        compiled: Any = torch._inductor.compile(
            program, [fakes.from_tensor(x, static_shapes=True) for x in examples], options=OPTIONS
        )
    return compiled


def lift_constants(program: GraphModule) -> tuple[GraphModule, list[Tensor]]:
    """Return a program whose last inputs are the tensors that the given one holds, and them."""
    lifted_program = GraphModule(program, copy.deepcopy(program.graph))
    graph = lifted_program.graph
    last = graph.find_nodes(op="placeholder")[-1]
    lifted: dict[str, Any] = {}
    for node in graph.find_nodes(op="get_attr"):
        name = str(node.target)
        if name not in lifted:
            with graph.inserting_after(last):
                last = lifted[name] = graph.placeholder(f"constant_{len(lifted)}")
                last.meta.update(node.meta)
        node.replace_all_uses_with(lifted[name])
        graph.erase_node(node)
    lifted_program.recompile()
    constants = [operator.attrgetter(name)(program).detach().contiguous() for name in lifted]
    return lifted_program, constants
