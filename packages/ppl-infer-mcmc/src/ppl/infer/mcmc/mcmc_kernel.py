"""The interface of kernels that advance one chain by one draw."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ppl.infer.mcmc.portable import Portable


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

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare a chain.

        Args:
            warmup_steps: How many draws will belong to warm-up.
            args: Arguments of the model.
            kwargs: Keyword arguments of the model.
        """

    def cleanup(self) -> None:
        """Forget the chain, after its last draw."""

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
