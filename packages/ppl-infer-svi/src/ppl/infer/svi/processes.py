"""Steps that several processes take together, each with rows of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as group
from torch import Tensor

from ppl.errors import NotFiniteError, PPLError, SiteError

FINE, NOT_FINITE, FAILED = range(3)
Taken = tuple[float, dict[str, Tensor]]


class ProcessesError(PPLError, RuntimeError):
    """The processes of a group do not do the same, or one of them has ended."""


class Processes:
    """The processes that ``torchrun`` started, which average their losses and gradients.

    The average of the gradients of subsamples is the gradient of all of them together, if plates
    have the size of all data.

    Raises:
        ProcessesError: If this process was not started by ``torchrun``, nor is in a group.
    """

    def __init__(self) -> None:
        if not group.is_available():
            raise ProcessesError("this torch was built without torch.distributed")
        if not group.is_initialized():
            if "RANK" not in os.environ:
                raise ProcessesError(
                    "distributed=True is for processes of a group: start the program with torchrun "
                    "--nproc-per-node=2 program.py, or call torch.distributed.init_process_group"
                )
            group.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        self.rank: int = group.get_rank()
        self.number: int = group.get_world_size()
        self._device = torch.device("cuda" if group.get_backend() == "nccl" else "cpu")

    def share(self, find: Callable[[], Mapping[str, Tensor]]) -> None:
        """Give all processes the parameters of the first one, which a function finds."""
        leaves = self._attempt(lambda: (0.0, dict(find())))[1]
        with _together():
            for leaf in leaves.values():
                group.broadcast(leaf.detach(), 0)

    def average(self, take: Callable[[], Taken]) -> Taken:
        """Return the loss and the leaves that a function gives, with averages over all processes.

        Raises:
            Exception: What the function raised; the other processes raise an error as well.
        """
        loss, leaves = self._attempt(take)
        gradients = [leaf.grad for leaf in leaves.values() if leaf.grad is not None]
        numbers = torch.tensor([loss], dtype=torch.float64, device=self._device)
        total = torch.cat([numbers, *(g.reshape(-1).to(self._device) for g in gradients)])
        with _together():
            group.all_reduce(total)
        total /= self.number
        parts = total[1:].split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.reshape(gradient.shape))
        return total[0].item(), leaves

    def gather(self, own: Any) -> list[Any]:
        """Return what each process has of something."""
        found: list[Any] = [None] * self.number
        with _together():
            group.all_gather_object(found, own)
        return found

    def wait(self) -> None:
        """Wait for all processes."""
        with _together():
            group.barrier()

    def _attempt(self, take: Callable[[], Taken]) -> Taken:
        """Return what a function returns, if it does so in all processes."""
        try:
            loss, leaves = take()
        except Exception as error:
            self._compare(NOT_FINITE if isinstance(error, NotFiniteError) else FAILED, {})
            raise
        self._compare(FINE, leaves)
        return loss, leaves

    def _compare(self, state: int, leaves: Mapping[str, Tensor]) -> None:
        """Raise an error if another process has met one, or has other gradients."""
        size = sum(leaf.numel() for leaf in leaves.values() if leaf.requires_grad)
        found = torch.tensor([state, size, -size], device=self._device)
        with _together():
            group.all_reduce(found, group.ReduceOp.MAX)
        worst, largest, least = found.tolist()
        if state == FINE and worst == NOT_FINITE:
            raise NotFiniteError("the loss of another process was not finite")
        if state == FINE and worst == FAILED:
            raise ProcessesError("another process has met an error in its step; see its output")
        if worst == FINE and largest != -least:
            raise SiteError(
                f"the processes have from {-least} to {largest} numbers as parameters: model and "
                "guide must have the same parameters in all of them"
            )


@contextmanager
def _together() -> Iterator[None]:
    """Say what it means if the others do not answer."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessesError(
            "another process of the group has ended or does not answer; all must take the same "
            f"number of steps (torch: {str(error).splitlines()[0]})"
        ) from error
