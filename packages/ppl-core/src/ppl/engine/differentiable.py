"""Recordings that autograd can differentiate as it would differentiate the function itself.

A recording holds operations below autograd: where the function said ``no_grad``, or brought a
derivative of its own, differentiating the replay would give something else. So the derivative is
recorded together with the value, and the joint program is then cut in two where the tangents (the
derivatives of some later scalar with respect to the results) come in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from .recording import draws, record_objects
from .refusals import CaptureError

Flat = Callable[..., Sequence[Tensor]]
Again = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class DifferentiableProgram:
    """A recorded function of tensors with its derivative.

    Attributes:
        forward: Maps the inputs to the results, followed by what ``backward`` needs.
        backward: Maps what ``forward`` kept, then the tangents, to the gradients of those inputs
            that have one; None if no result has a gradient.
        num_results: How many results there are.
        differentiable: The positions of the results with a gradient, one tangent for each.
        differentiated: The positions of the inputs whose gradients ``backward`` returns.
        draws: Whether it draws at random.
    """

    forward: Flat
    backward: Flat | None
    num_results: int
    differentiable: tuple[int, ...]
    differentiated: tuple[int, ...]
    draws: bool = False

    def __call__(self, *inputs: Tensor, again: Again | None = None) -> tuple[Tensor, ...]:
        """Return the results at other inputs.

        They can be differentiated once.  Where a derivative is to be differentiated itself it comes
        from `again`, which runs the function at the inputs.
        """
        if self.backward is None:
            with torch.no_grad():
                return tuple(self.forward(*inputs))
        results: tuple[Tensor, ...] = _Replay.apply(self, again, *inputs)  # type: ignore[no-untyped-call]
        return results

    def map(self, compiler: Callable[[Any], Flat]) -> DifferentiableProgram:
        """Return the program with both halves replaced by what a compiler makes of them."""
        backward = None if self.backward is None else compiler(self.backward)
        return replace(self, forward=compiler(self.forward), backward=backward)


class _Replay(torch.autograd.Function):
    """Runs both halves of a program as one operation of autograd."""

    @staticmethod
    def forward(
        ctx: Any, program: DifferentiableProgram, again: Again | None, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        values = program.forward(*inputs)
        results, kept = values[: program.num_results], values[program.num_results :]
        ctx.program, ctx.again, ctx.inputs = program, again, inputs
        ctx.versions = _versions(inputs)
        ctx.save_for_backward(*kept)
        ctx.mark_non_differentiable(
            *(r for i, r in enumerate(results) if i not in program.differentiable)
        )
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        program = ctx.program
        needed = [tangents[i] for i in program.differentiable]
        if torch.is_grad_enabled():  # the derivative may be differentiated itself
            found = _twice_differentiable(ctx, needed)
        else:
            found = program.backward(*ctx.saved_tensors, *needed)
        gradients = dict(zip(program.differentiated, found, strict=True))
        return (None, None, *(gradients.get(i) for i in range(len(ctx.inputs))))


def _twice_differentiable(ctx: Any, tangents: list[Tensor]) -> Sequence[Tensor | None]:
    """Return the gradients of a replay as functions of its inputs."""
    program, sources = ctx.program, [ctx.inputs[i] for i in ctx.program.differentiated]
    if ctx.again is None or program.draws or _versions(ctx.inputs) != ctx.versions:
        with torch.no_grad():
            found = program.backward(*ctx.saved_tensors, *tangents)
        return [_Once.apply(x, *sources, *tangents) for x in found]  # type: ignore[no-untyped-call]
    with torch.enable_grad():
        results = ctx.again()
    wanted = [results[i] for i in program.differentiable]
    return torch.autograd.grad(wanted, sources, tangents, create_graph=True, allow_unused=True)


class _Once(torch.autograd.Function):
    """A gradient that cannot be differentiated, and says so."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *sources: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        raise CaptureError(
            "the replay of a function that draws, or whose arguments have changed in place since, "
            "can be differentiated once; call the function itself for higher derivatives"
        )


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    return [x._version for x in tensors if not x.is_inference()]


def record_with_gradient(
    fn: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], results: Sequence[Tensor]
) -> DifferentiableProgram:
    """Return the program of ``fn(*inputs)``, and of its derivative if the results have one.

    Args:
        fn: A function of tensors that returns a sequence of them. A tensor that it closes over and
            that is one of the inputs is taken for the input.
        inputs: Example inputs, all different objects.
        results: What ``fn`` returns for them: only whether they require gradients matters.

    Raises:
        CaptureError: If ``fn`` branches on values or uses an operation that cannot be recorded.
    """
    differentiable = tuple(i for i, result in enumerate(results) if result.requires_grad)
    sources = [i for i, x in enumerate(inputs) if x.requires_grad]
    differentiated: list[int] = []

    def joint(*flat: Tensor) -> list[Tensor]:
        values = list(fn(*flat[: len(inputs)]))
        found = torch.autograd.grad(
            [values[i] for i in differentiable],
            [flat[i] for i in sources],
            flat[len(inputs) :],
            allow_unused=True,
        )
        differentiated[:] = [i for i, g in zip(sources, found, strict=True) if g is not None]
        return values + [gradient for gradient in found if gradient is not None]

    if not (differentiable and sources):
        program = record_objects(lambda *flat: list(fn(*flat)), *inputs)
        return DifferentiableProgram(program, None, len(results), (), (), draws(program))
    tangents = [torch.ones_like(results[i], requires_grad=False) for i in differentiable]
    program = record_objects(joint, *inputs, *tangents)
    forward, backward = cut(program, len(inputs), len(results))
    return DifferentiableProgram(
        forward, backward, len(results), differentiable, tuple(differentiated), draws(program)
    )


def cut(joint: GraphModule, num_inputs: int, num_results: int) -> tuple[GraphModule, GraphModule]:
    """Return the two halves of a joint program: what needs no tangent, and the rest.

    Args:
        joint: Maps inputs and tangents to results and gradients.
        num_inputs: How many inputs come before the tangents.
        num_results: How many results come before the gradients.
    """
    *nodes, output = joint.graph.nodes
    placeholders = [node for node in nodes if node.op == "placeholder"]
    late = set(placeholders[num_inputs:])
    for node in nodes:
        if not late.isdisjoint(node.all_input_nodes):
            late.add(node)
    results, gradients = output.args[0][:num_results], output.args[0][num_results:]
    early = [node for node in nodes if node not in late]
    kept = [n for n in early if n in gradients or not late.isdisjoint(n.users)]
    forward = _part(joint, [], early, [*results, *kept])
    return forward, _part(joint, kept, [node for node in nodes if node in late], gradients)


def _part(
    joint: GraphModule, given: Sequence[Node], nodes: Sequence[Node], results: Sequence[Node]
) -> GraphModule:
    """Return a program of some of the nodes that receives the values of others."""
    graph, new = Graph(), {}
    for node in given:
        new[node] = graph.placeholder(node.name)
    for node in sorted(nodes, key=lambda node: node.op != "placeholder"):
        new[node] = graph.node_copy(node, new.__getitem__)
    graph.output([new[node] for node in results])
    return GraphModule(joint, graph)
