"""The interface of kernels that advance many chains at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from ppl.engine.replay import Replay
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.target.target import Target


@runtime_checkable
class BatchKernel(Protocol):
    """What :class:`~ppl.infer.mcmc.MCMC` asks of a kernel that advances many chains at once.

    A kernel derives from :class:`~ppl.infer.mcmc.MCMCKernel`, for runs that want draws one by one,
    and has these methods besides.  :class:`~ppl.infer.mcmc.GradientKernel` implements all of them
    for a transition with a step size and a mass matrix.

    Attributes:
        jit_compile: Compile the potential, however short the run.
        has_native_twin: Whether its leapfrogs have a twin in C++, so that a few chains can run free
            of Python and of each other.
    """

    jit_compile: bool
    has_native_twin: bool

    def target(self, num_chains: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Target:
        """Return what is to be sampled, and where `num_chains` chains start."""

    def start(
        self,
        potential_and_grad: PotentialAndGrad,
        position: Tensor,
        seeds: Sequence[int],
        warmup_steps: int,
        num_samples: float,
        some: slice,
        replay: Replay | None,
    ) -> Chains:
        """Return some of the chains that start at `position`, shape ``(chain, dim)``.

        Args:
            potential_and_grad: The potential, recorded or compiled, of so many chains.
            position: Where all chains start.
            seeds: A seed for each of them.
            warmup_steps: Transitions of warm-up.
            num_samples: Draws of each chain after it, perhaps ``inf``.
            some: Which chains.
            replay: The potential in C++, if a single chain may run free.
        """

    def cleanup(self) -> None:
        """Forget the chains."""


def is_batch_kernel(kernel: Any) -> bool:
    """Return whether a kernel's chains can run as a batch.

    A class that overrides ``sample`` has a transition of its own, which the batch of the class that
    it derives from does not know.
    """
    if not isinstance(kernel, BatchKernel):
        return False
    owners = {n: _owner(type(kernel), n) for n in ("start", "sample")}
    return issubclass(owners["start"], owners["sample"])


def _owner(kernel: type, name: str) -> type:
    return next(base for base in kernel.__mro__ if name in vars(base))
