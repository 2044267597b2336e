"""Steps of one program without Python between them: the state changes where it is, in C++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule

from ppl.engine.inductor import CompiledProgram
from ppl.engine.iterate import Iterated
from ppl.engine.replay import Replay, ReplayError
from ppl.optim.pure_update import PureUpdate

WORK_OF_A_CALL = 2**27  # numbers computed before Python has a look: a tenth of a second
aten: Any = torch.ops.aten
PRODUCTS = (aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default)
AT_ONCE = 32  # multiplications of a product, in the time of another number
LOSS, IS_FINITE, STATE = range(3)  # outputs of the program of a step; the state is the rest


class Steps(NamedTuple):
    """Losses of some steps, and whether the last one was taken, as all others were."""

    losses: list[float]
    is_taken: bool


class NativeSteps:
    """The steps of a compiled program, at arguments of one structure.

    They draw from torch's generator, in C++, what the program called from Python would draw.

    Args:
        compiled: Maps rates, slots and further inputs, the leaves among them, to a loss, whether
            it and the gradient are finite, new leaves, and new slots.
        inputs: Its inputs; they are read where they are, as long as they are there.
        update: Whose leaves and slots these are.
        slots: The slots.

    Raises:
        ReplayError: If the program cannot be replayed in C++.
    """

    def __init__(
        self,
        compiled: CompiledProgram,
        inputs: Sequence[Tensor],
        update: PureUpdate,
        slots: Sequence[Tensor],
    ) -> None:
        self._compiled, self._update = compiled, update
        self._inputs, self._is_moving = list(inputs), False
        self._num_slots = len(slots)
        self._most = max(1, WORK_OF_A_CALL // work_of(compiled.recorded))
        self._build()

    def _build(self) -> None:
        leaves, num_slots = self._update.leaves, self._num_slots
        where = {id(x): i for i, x in enumerate(self._inputs)}
        of_leaves = [where[id(leaf)] for leaf in leaves]
        states = [*of_leaves, *range(1, 1 + num_slots)]
        taken = {0, *states}
        self._others = [i for i in range(len(self._inputs)) if i not in taken]
        inputs = list(self._inputs)
        for i in [0, *(self._others if self._is_moving else ())]:
            inputs[i] = inputs[i].clone()
        self._replay = Replay(self._compiled, inputs, draws=True, copies=False)
        self._buffers = [self._replay.inputs[i] for i in states]
        pairs = {STATE + number: i for number, i in enumerate(states)}
        self._iterated = Iterated(self._replay, pairs, [0], [LOSS], IS_FINITE)

    def take(self, number: int, args: Sequence[Tensor], slots: Sequence[Tensor]) -> Steps:
        """Take some steps, up to one whose loss or gradient is not finite, which changes nothing.

        The last one returned is that one only if it is the first: otherwise the steps end, and
        torch's generator is, before it.

        Args:
            number: The most to take, 1 or more.
            args: The tensors among the arguments, like the first ones; they come after the slots.
            slots: The slots, as they are now.
        """
        self._give(args)
        pairs = zip([*self._update.leaves, *slots], self._buffers, strict=True)
        moved = [(x, buffer) for x, buffer in pairs if x.data_ptr() != buffer.data_ptr()]
        _copy([(buffer, x) for x, buffer in moved])
        num_taken, (losses,) = self._run(number)
        _copy(moved)
        if num_taken:
            torch.autograd.graph.increment_version(self._update.leaves)
            self._update.advance(num_taken)
        found: list[float] = losses[: max(1, num_taken)].tolist()
        return Steps(found, num_taken > 0)

    def _run(self, number: int) -> tuple[int, list[Tensor]]:
        number = min(number, self._most)
        rates, generator = [self._update.rates(number)], torch.get_rng_state()
        kept = [x.clone() for x in self._buffers] if number > 1 else self._buffers
        try:
            num_taken, noted = self._iterated(number, rates)
        except ReplayError:
            self._rewind(kept, generator)
            raise
        if 0 < num_taken < number:  # the same again, without the draws of the step that failed
            self._rewind(kept, generator)
            return self._iterated(num_taken, rates)
        return num_taken, noted

    def _rewind(self, kept: list[Tensor], generator: Tensor) -> None:
        if kept is not self._buffers:
            torch._foreach_copy_(self._buffers, kept)
        torch.set_rng_state(generator)

    def _give(self, args: Sequence[Tensor]) -> None:
        """Let the program read other arguments: in memory of its own, from the second ones on."""
        first = self._num_slots + 1
        self._inputs[first : first + len(args)] = args
        buffers, inputs = self._replay.inputs, self._inputs
        moved = [i for i in self._others if inputs[i].data_ptr() != buffers[i].data_ptr()]
        if moved and not self._is_moving:
            self._is_moving = True
            self._build()
        elif moved:
            torch._foreach_copy_([buffers[i] for i in moved], [inputs[i].detach() for i in moved])


def work_of(program: GraphModule) -> int:
    """Return about how many numbers a recorded program computes, 1 or more."""
    work = 1
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            work += value.numel()
            if node.target in PRODUCTS:
                work += value.numel() * node.args[-2].meta["val"].shape[-1] // AT_ONCE
    return work


def _copy(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Copy the second tensor of each pair into the first."""
    if pairs:  # a grad mode takes as long as a small step
        with torch.no_grad():
            torch._foreach_copy_([to for to, _ in pairs], [source for _, source in pairs])
