"""The interface of kernels that advance one chain by one draw."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from ppl.errors import ArgumentTypeError
from ppl.infer.mcmc.portable import Portable
from ppl.infer.mcmc.slot import Slot
from ppl.infer.mcmc.target.divergences import Divergences


class MCMCKernel(Portable, metaclass=ABCMeta):
    """A Markov transition kernel over dicts of unconstrained values.

    :class:`~ppl.infer.mcmc.MCMC` calls, for each chain: :meth:`setup` with the model's arguments;
    :meth:`sample` with the last values, ``warmup_steps`` times; :meth:`end_warmup`; :meth:`sample`
    for each draw; :meth:`diagnostics`; :meth:`cleanup`.  A kernel that has a method
    ``constrain(draws)`` maps its draws, dicts of ``(chain, draw, *site)``, to those the user sees;
    one that has an attribute ``transforms`` instead has them mapped by their inverses.

    Where starting points were given, they are set as :attr:`initial_params` before :meth:`setup`,
    and after the run what that has changed is put back.  Kernels can be copied and pickled; a
    function of the user's that cannot is left out, with a warning.
    """

    _runs_programs = True  # and is none itself, though it can be called
    changing: Slot | None = None  # values of the moment that the model is conditioned on, by site

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare a chain.

        Args:
            warmup_steps: How many draws will belong to warm-up.
            args: Arguments of the model.
            kwargs: Keyword arguments of the model.
        """

    def cleanup(self) -> None:
        """Forget the chain, after its last draw."""

    def clear_cache(self) -> None:
        """Forget what was computed from the density of the model: it is another one now.

        :class:`~ppl.infer.mcmc.Gibbs` calls this before each draw, since other sites have moved.
        """

    def logging(self) -> Mapping[str, str]:
        """Return what a progress bar shows beside the kernel's draws, formatted, by label."""
        return {}

    def diagnostics(self) -> dict[str, Any]:
        """Return what the kernel knows about the chain that ended, by label."""
        return {}

    def end_warmup(self) -> None:
        """Note that warm-up is over."""

    @property
    def initial_params(self) -> Mapping[str, Tensor]:
        """Unconstrained values that the chain starts from, by site."""
        raise NotImplementedError(f"{type(self).__name__} does not define initial_params")

    @initial_params.setter
    def initial_params(self, params: Mapping[str, Tensor]) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not take initial_params")

    def __call__(self, params: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the next draw after `params`; the same as :meth:`sample`."""
        return self.sample(params)

    @abstractmethod
    def sample(self, params: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the next draw after `params`; both are unconstrained values by site."""


@runtime_checkable
class Reporting(Protocol):
    """What a kernel may have besides: reports of its draws one by one."""

    def fields(self) -> dict[str, float]:
        """Return what is known of the last draw, the same names each time."""


@runtime_checkable
class Diverging(Protocol):
    """What a kernel may have besides: reports of transitions that were given up."""

    def divergences(self) -> Divergences:
        """Return the draws after warm-up whose transitions diverged, and where."""

    def faults(self) -> Counter[str]:
        """Return why transitions ended at points without density, and how often."""


def checked_kernel(kernel: Any) -> MCMCKernel:
    """Return a kernel, or what has its methods.

    Raises:
        ArgumentTypeError: If it is something else; says what was meant.
    """
    if isinstance(kernel, type):
        what = f"the class {kernel.__name__}: pass an instance, {kernel.__name__}(model)"
    elif isinstance(kernel, str):
        what = f"the string {kernel!r}: pass a kernel such as NUTS(model)"
    elif isinstance(kernel, MCMCKernel) or all(hasattr(kernel, n) for n in ("setup", "sample")):
        checked: MCMCKernel = kernel
        return checked
    elif callable(kernel):
        name = getattr(kernel, "__name__", "model")
        what = f"a function: if it is the model, pass NUTS({name})"
    else:
        what = f"{kernel!r}: pass a kernel such as NUTS(model)"
    raise ArgumentTypeError(f"kernel is {what}")
