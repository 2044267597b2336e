"""Compile a recorded tensor program with torch's compiler, inductor, which nothing else here calls.

A recording is flat and static, so most of what ``torch.compile`` does is not needed: no bytecode is
read, nothing is guarded, and a call goes straight to the generated code.
"""

from __future__ import annotations

import copy
import operator
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from ..errors import PPLError, warn
from ..validation import torch_flag_kept
from .agreement import overlaps, points_near, same_function
from .onednn import by_onednn
from .recording import one_at_a_time

aten: Any = torch.ops.aten
Compiled = Callable[..., Sequence[Tensor]]
Generated = Callable[[list[Tensor]], Sequence[Tensor]]  # empties the list
Options = Mapping[str, Any]

OPTIONS: Options = {
    "size_asserts": False,  # checks at each call, a third of the time of a small program
    "fallback_random": True,  # draws are those of torch without compiler
}
MAX_PROGRAMS = 64  # kept in the memory of a process; torch keeps all of them on disk

_generated: OrderedDict[tuple[Any, ...], Generated] = OrderedDict()


def compile_program(
    program: GraphModule, inputs: Sequence[Tensor], options: Options = OPTIONS
) -> CompiledProgram:
    """Return a compiled version of a recorded program.

    Tensors that the program holds become further inputs of what is compiled, so that programs
    which differ in them alone, in their data, are compiled once: in a process, and with the help of
    torch's cache on disk on a machine.

    Args:
        program: A recording whose arguments and results are flat: tensors only.
        inputs: Example inputs; all calls must have their shapes, strides, dtypes and devices, which
            nobody checks.  Calls have no gradient.
        options: Of inductor, see ``torch._inductor.list_options()``, added to `OPTIONS`.

    What is compiled is compared with the program, at the inputs and near them.

    Raises:
        MiscompiledError: If it gives something else.
        Exception: Any other, if there is no compiler or it fails.
    """
    recorded = program
    program, constants = lift_constants(program)
    examples = [x.detach() for x in (*inputs, *constants)]
    options = {**OPTIONS, **options}
    layouts = ((x.shape, x.stride(), x.dtype, x.device) for x in examples)
    key = (*_code(program), *layouts, torch.get_num_threads(), repr(options))
    with one_at_a_time:
        if key not in _generated:
            with torch_flag_kept(), warnings.catch_warnings():
                for category in (DeprecationWarning, FutureWarning):  # of torch, about itself
                    warnings.simplefilter("ignore", category)
                _generated[key] = by_onednn(_compile(program, examples, options))
        _generated.move_to_end(key)
        while len(_generated) > MAX_PROGRAMS:
            _generated.popitem(last=False)
        compiled = CompiledProgram(_generated[key], constants, recorded)
    if not same_function(compiled.flat, compiled.flat_recorded, points_near(inputs)):
        raise MiscompiledError(
            "what the compiler made of it gives other values than it; please report it to torch"
        )
    return compiled


class MiscompiledError(PPLError, RuntimeError):
    """A compiled program gives something else than what it was compiled from."""


class CompiledProgram:
    """What the compiler made of a program; a pickle of it holds the program alone."""

    def __init__(
        self, generated: Generated, constants: Sequence[Tensor], recorded: GraphModule
    ) -> None:
        self.generated: Generated
        self.constants: Sequence[Tensor]
        self.recorded: GraphModule
        self.generated, self.constants, self.recorded = generated, constants, recorded

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Return the results at inputs laid out like the first ones."""
        return self.generated([*inputs, *self.constants])

    def flat(self, *inputs: Tensor) -> list[Tensor]:
        """Return the results as a list."""
        return list(self(*inputs))

    def flat_recorded(self, *inputs: Tensor) -> list[Tensor]:
        """Return the results of the program itself, as a list."""
        return tree_leaves(self.recorded(*inputs))

    def __reduce__(self) -> tuple[Any, ...]:
        return _same, (self.recorded,)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledProgram:
        return self  # never changes


def _same(program: GraphModule) -> GraphModule:
    return program


def _code(program: GraphModule) -> list[str]:
    """Return the code of a program and of its branches."""
    return [part.code for part in program.modules() if isinstance(part, GraphModule)]


def _compile(program: GraphModule, examples: Sequence[Tensor], options: Options) -> Generated:
    try:
        with _trusting_the_processor():
            return _generate(program, examples, {**options, "cpp.vec_isa_ok": True})
    except (
        Exception
    ) as error:  # torch's inner parts are another version's, or the compiler is older
        generated = _compile_publicly(program, examples, options)
        warn(
            "torch compiled by its documented function, whose programs are slower to call: "
            f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
        )
        return generated


def _generate(program: GraphModule, examples: Sequence[Tensor], options: Options) -> Generated:
    """Return the function that inductor generates, without the layers that autograd would need."""
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.decomposition import select_decomp_table

    mode, fakes = _fake(examples)
    context = torch._guards.TracingContext(mode)  # without one torch does not use its cache
    with config.patch(dict(options)), torch.no_grad(), torch._guards.tracing(context):
        graph = _functional(program, mode, fakes, select_decomp_table())
        compiled: Any = compile_fx_inner(graph, fakes, is_inference=True)
    generated: Generated = getattr(compiled, "current_callable", compiled)
    return generated


def _compile_publicly(
    program: GraphModule, examples: Sequence[Tensor], options: Options
) -> Generated:
    """Return what torch's documented function makes of a program: slower to make and to call."""
    mode, fakes = _fake(examples)
    with torch.no_grad():
        graph = _functional(program, mode, fakes, torch._decomp.core_aten_decompositions())
    compiled: Any = torch._inductor.compile(graph, fakes, options=dict(options))

    def call(inputs: list[Tensor]) -> Sequence[Tensor]:
        return tree_leaves(compiled(*inputs))

    return call


def _functional(
    program: GraphModule, mode: Any, fakes: Sequence[Tensor], decompositions: Any
) -> GraphModule:
    """Return a program of simpler operations, none of which writes into a tensor."""

    def flat(*inputs: Tensor) -> list[Tensor]:
        return tree_leaves(program(*inputs))

    with mode:
        functional = torch.func.functionalize(flat, remove="mutations")
        graph: GraphModule = make_fx(functional, decompositions)(*fakes)
    return give_memory(graph)


SCATTERS = {  # what inductor does in place, where it sees nobody else who needs the old values
    aten.index_put.default,
    aten._unsafe_index_put.default,
    aten.slice_scatter.default,
    aten.select_scatter.default,
    aten.diagonal_scatter.default,
    aten.as_strided_scatter.default,
}


def give_memory(graph: GraphModule) -> GraphModule:
    """Change a functional program in place: what is written into has memory for each element.

    Inductor writes into expanded zeros, as derivatives of look-ups begin with, as if their elements
    did not share their memory.
    """
    for node in graph.graph.nodes:
        if node.target in SCATTERS and overlaps(node.args[0].meta["val"]):
            with graph.graph.inserting_before(node):
                own = graph.graph.call_function(
                    aten.clone.default,
                    (node.args[0],),
                    {"memory_format": torch.contiguous_format},
                )
            own.meta["val"] = node.args[0].meta["val"].contiguous()
            node.replace_input_with(node.args[0], own)
    graph.recompile()
    return graph


def _fake(examples: Sequence[Tensor]) -> tuple[Any, list[Any]]:
    """Return a mode in which tensors have no memory, and stand-ins of that kind."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # a second to import
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    mode = FakeTensorMode(shape_env=ShapeEnv())
    return mode, [mode.from_tensor(x, static_shapes=True) for x in examples]


@contextmanager
def _trusting_the_processor() -> Iterator[None]:
    """Let inductor use the vectors that the processor says it has, without trying all of them.

    Its trials take ten seconds, the first time on a machine.
    """
    from torch._inductor import cpu_vec_isa

    try:
        yield
    finally:
        cpu_vec_isa.valid_vec_isa_list.cache_clear()  # others may be less trusting


def lift_constants(program: GraphModule) -> tuple[GraphModule, list[Tensor]]:
    """Return a program whose last inputs are the tensors that the given one holds, and them."""
    lifted_program = GraphModule(program, copy.deepcopy(program.graph))
    graph = lifted_program.graph
    held = [n for n in graph.find_nodes(op="get_attr") if _is_tensor(program, n)]
    lifted: dict[str, Node] = {}
    with graph.inserting_before(next(n for n in graph.nodes if n.op != "placeholder")):
        for node in held:
            name = str(node.target)
            if name not in lifted:
                lifted[name] = graph.placeholder(f"constant_{len(lifted)}")
                lifted[name].meta.update(node.meta)
    for node in held:
        node.replace_all_uses_with(lifted[str(node.target)])
        graph.erase_node(node)
    lifted_program.recompile()
    return lifted_program, [operator.attrgetter(name)(program).detach() for name in lifted]


def _is_tensor(program: GraphModule, attribute: Node) -> bool:
    """Whether what a program holds is a tensor, not a branch of its own."""
    return isinstance(operator.attrgetter(str(attribute.target))(program), Tensor)
