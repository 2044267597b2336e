"""Stochastic variational inference: gradient steps on a loss of model and guide."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch

import ppl.plugins as plugins
import ppl.poutine as poutine
from ppl.errors import ArgumentError, SiteError, warn
from ppl.generators import own_generators
from ppl.infer.arguments import positive_int
from ppl.infer.elbo import ELBO
from ppl.infer.results import Posterior, posterior_of_guide
from ppl.infer.trace_posterior import TracePosterior
from ppl.infer.util import torch_item, zero_grads
from ppl.randomness import get_rng_state, set_rng_state

from .early_stopping import EarlyStopping
from .fit import Fit
from .fit_result import FitResult
from .leaves import leaves_behind, leaves_of
from .processes import Processes
from .restarts import Restarts
from .roles import check_roles
from .whole_step import WholeStep, after

Model = Callable[..., Any]
_INSTEAD = "call step in a loop, and draw with Predictive(model, guide=guide, num_samples=...)"


class SVI(TracePosterior):
    """Fits the parameters of model and guide by stochastic gradient steps on a loss.

    Args:
        model: The model.
        guide: The guide: a program with the arguments of the model that samples its latent sites.
        optim: An optimizer of ``ppl.optim``, called with the unconstrained parameters.
        loss: An :class:`~ppl.infer.elbo.ELBO`, its class, the name of one in the ``ppl.elbos``
            registry, or a function ``loss(model, guide, *args, **kwargs)`` that returns a
            differentiable scalar.
        loss_and_grads: A function of the same arguments that returns the loss and fills ``.grad``;
            derived from ``loss`` by default.
        num_samples: How many traces :meth:`run` draws; deprecated, use ``Predictive``.
        num_steps: How many steps :meth:`run` takes; deprecated, call :meth:`step` in a loop.
        compile: Make one compiled program of a whole step, loss, gradient and update, from the
            second step on; it draws the same random numbers. A model that branches on values trains
            without, after one warning. Without this option it is made where it pays: by
            :meth:`fit`, and by :meth:`step` after some thousand steps.
        distributed: Average losses and gradients over the processes that ``torchrun`` started, each
            of which is given rows of its own, and begin with the parameters of the first one.
        kwargs: Options of a loss that is given by name or class.

    Raises:
        SiteError: If an argument is none of these, or stands in another's place.
        ProcessesError: If it is to be distributed, and there is no group of processes.

    References:
        Hoffman et al. 2013, "Stochastic variational inference"; Wingate & Weber 2013, "Automated
        variational inference in probabilistic programming".

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.optim import Adam
        >>> from ppl.primitives import clear_param_store, param, sample
        >>> from ppl.util import set_rng_seed
        >>> clear_param_store(); set_rng_seed(0)
        >>> def model():
        ...     sample("z", dist.Normal(3.0, 1.0))
        >>> def guide():
        ...     sample("z", dist.Normal(param("loc", torch.tensor(0.0)), 1.0))
        >>> svi = SVI(model, guide, Adam({"lr": 0.05}), loss="Trace_ELBO")
        >>> losses = [svi.step() for _ in range(200)]
        >>> bool(abs(param("loc") - 3.0) < 0.3)
        True
    """

    model: Model
    guide: Model
    optim: Callable[..., Any]
    loss: Callable[..., Any]
    loss_and_grads: Callable[..., Any]

    def __init__(
        self,
        model: Model,
        guide: Model,
        optim: Callable[..., Any],
        loss: ELBO | Callable[..., Any] | str,
        loss_and_grads: Callable[..., Any] | None = None,
        num_samples: int = 0,
        num_steps: int = 0,
        compile: bool = False,
        distributed: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        check_roles(model, guide, optim, loss)
        self.num_samples: int = positive_int("num_samples", num_samples, at_least=0)
        self.num_steps: int = positive_int("num_steps", num_steps, at_least=0)
        if num_samples or num_steps:
            warn(f"num_samples and num_steps of SVI are deprecated; {_INSTEAD}", FutureWarning)
        self.model, self.guide, self.optim = model, guide, optim
        self.loss, self.loss_and_grads = _loss_functions(loss, loss_and_grads, kwargs)
        self._derives_gradients = getattr(self.loss_and_grads, "func", None) is _by_autograd
        self._leaves: dict[str, torch.Tensor] = {}
        self._num_steps = 0
        self._processes = Processes() if distributed else None
        self._whole = WholeStep(self, "inductor", warns=True) if compile else None

    def __repr__(self) -> str:
        roles = ("model", "guide", "optim")
        shown = [f"{role}={_brief(getattr(self, role))}" for role in roles]
        return f"SVI({', '.join(shown)}, loss={_brief(getattr(self.loss, '__self__', self.loss))})"

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, in nats, without a gradient step."""
        with torch.no_grad():
            return torch_item(self.loss(self.model, self.guide, *args, **kwargs))

    def step(self, *args: Any, **kwargs: Any) -> float:
        """Take one gradient step and return the estimate of the loss, in nats, that it used."""
        taken = self._at_once(args, kwargs)
        if taken is not None:
            return taken
        loss, self._leaves = self._gradients(args, kwargs)
        self._update(self._leaves)
        return loss

    def _at_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
        """Take a step as one program; None where the handlers are to take it."""
        self._num_steps += 1
        self._whole = whole = after(self._num_steps, self._whole, self)
        if whole is None:
            return None
        before = torch.get_rng_state()
        taken = whole.take(args, kwargs, self._leaves)
        if taken is None or taken.is_taken:
            return taken and taken.losses[0]
        if own_generators() is None:
            torch.set_rng_state(before)
        return None  # they say what is not finite

    def fit(
        self,
        num_steps: int,
        *args: Any,
        batches: Iterable[Any] | None = None,
        early_stopping: EarlyStopping | bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1000,
        callback: Callable[[int, float], Any] | None = None,
        disable_progbar: bool = False,
        num_restarts: int = 1,
        **kwargs: Any,
    ) -> FitResult:
        """Take gradient steps, and return the losses and the parameters.

        A step whose loss or gradient is not finite is skipped; a warning counts them, and names the
        first site that was not. Ctrl-C ends the fit and returns what was learnt.

        Args:
            num_steps: How many, those of a checkpoint included.
            args: Arguments of model and guide.
            batches: A ``DataLoader``, or another iterable of batches, which is gone through again
                and again. Each is a tensor, a tuple of arguments, or a mapping of arguments by
                keyword; ``args`` come after them. A plate whose size contradicts the number of
                rows gets a warning.
            early_stopping: Stop once the mean loss no longer falls; True, or an
                :class:`EarlyStopping` with options.
            checkpoint: A file. If it exists the fit goes on from it, bit for bit; it is written
                every ``checkpoint_every`` steps and at the end, whole or not at all.
            checkpoint_every: How many steps.
            callback: Called with the number of steps so far and the last loss, after each step.
            disable_progbar: Show no progress on stderr.
            num_restarts: How many fits to make from different seeds, all by one program. Each ends
                where it ends alone: after ``set_rng_seed(result.seed)``, with a new guide. The best
                one by the mean loss of its last tenth is returned, with all as ``restarts``.
            kwargs: Arguments of model and guide by keyword.

        Raises:
            FileFormatError: If the checkpoint is of another model or guide, or another file.
            ArgumentError: If there is a checkpoint of several fits.
        """
        positive_int("num_steps", num_steps, at_least=0)
        positive_int("num_restarts", num_restarts)
        if num_restarts > 1 and checkpoint is not None:
            raise ArgumentError(
                "a checkpoint is of one fit; give a seed and a file to each of several calls of fit"
            )

        def make(svi: SVI) -> Fit:
            return Fit(
                svi,
                args,
                kwargs,
                batches,
                early_stopping,
                checkpoint,
                checkpoint_every,
                callback,
                disable_progbar or num_restarts > 1,
            )

        if num_restarts == 1:
            return make(self).run(num_steps)
        return Restarts(self, make).run(num_restarts, num_steps)

    def _gradients(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[float, dict[str, torch.Tensor]]:
        """Return a loss and the leaves of all parameters by name, which have its gradients now."""
        if self._processes is None:
            return self._own_gradients(args, kwargs)
        if not self._leaves:
            self._processes.share(lambda: leaves_behind(self._parameters(args, kwargs)))
        return self._processes.average(lambda: self._own_gradients(args, kwargs))

    def _parameters(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Run model and guide once, and return their param statements by name."""
        found = get_rng_state()
        with poutine.trace(param_only=True) as seen, torch.no_grad():
            self.loss(self.model, self.guide, *args, **kwargs)
        set_rng_state(found)
        return {name: seen.trace.nodes[name] for name in seen.trace.param_nodes}

    def _own_gradients(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[float, dict[str, torch.Tensor]]:
        with poutine.trace(param_only=True) as captured:
            loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
        return torch_item(loss), leaves_of(captured.trace)

    def _update(self, leaves: dict[str, torch.Tensor]) -> None:
        self.optim(list(leaves.values()))
        zero_grads(leaves.values())

    def run(self, *args: Any, **kwargs: Any) -> SVI:
        """Take ``num_steps`` steps, then draw ``num_samples`` traces of the model; deprecated.

        The traces, at draws of the guide, are in ``exec_traces``, all of the same weight.

        Returns:
            This object.
        """
        warn(f"SVI.run is deprecated; {_INSTEAD}", FutureWarning)
        for _ in range(self.num_steps):
            self.step(*args, **kwargs)
        with torch.no_grad():
            return super().run(*args, **kwargs)

    def posterior(self, *args: Any, num_draws: int = 1000, **kwargs: Any) -> Posterior:
        """Return draws of the guide as an approximate posterior, and what they can be asked.

        Args:
            args: The arguments of model and guide, with all of the data.
            num_draws: How many draws.
            kwargs: The arguments by name.
        """
        return posterior_of_guide(self.model, self.guide, args, kwargs, num_draws=num_draws)

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[poutine.Trace, float]]:
        for _ in range(self.num_samples):
            guide_trace = poutine.trace(self.guide).get_trace(*args, **kwargs)
            replayed = poutine.trace(poutine.replay(self.model, trace=guide_trace))
            yield replayed.get_trace(*args, **kwargs), 1.0


def _loss_functions(
    loss: Any, loss_and_grads: Callable[..., Any] | None, options: dict[str, Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The loss and its gradient function, from an estimator, a name or a function."""
    if isinstance(loss, str):
        loss = ELBO if loss == "ELBO" else plugins.load("ppl.elbos", loss)
    if isinstance(loss, type) and issubclass(loss, ELBO):
        loss = loss(**options)
    elif options:
        raise SiteError(
            f"options are for a loss given by name, got {sorted(options)} with {loss!r}"
        )
    if hasattr(loss, "loss_and_grads"):
        return loss.loss, loss_and_grads or loss.loss_and_grads
    if not callable(loss):
        raise SiteError(
            f"loss must be an ELBO, its name, or a function of model and guide, got {loss!r}"
        )

    return loss, loss_and_grads or partial(_by_autograd, loss)


def _by_autograd(loss: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    value = loss(*args, **kwargs)
    value.backward()
    return value


def _brief(part: Any) -> str:
    """A program by its name, everything else by its repr."""
    name = getattr(part, "__name__", None)
    return name if isinstance(name, str) else repr(part)
