"""Stochastic variational inference as pure functions: state in, state out.

Nothing global is read or changed: neither the parameter store, nor the generators of random
numbers. So several fits can be kept side by side, repeated, or resumed from any of their states.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints, transform_to

import ppl.plugins as plugins
import ppl.poutine as poutine
from ppl.errors import NotRunError, SiteTypeError
from ppl.infer.elbo import ELBO
from ppl.infer.svi.elbo.trace_elbo import Trace_ELBO
from ppl.infer.svi.pure_optim import PureOptim
from ppl.infer.svi.substituted import Substituted
from ppl.optim import PyroOptim
from ppl.params.current import param_store
from ppl.poutine.program_errors import require_program
from ppl.randomness import seeded

Model = Callable[..., Any]
Params = dict[str, Tensor]
_ORDER = "the order is SVI(model, guide, loss, optim), other than that of ppl.infer.SVI"


class SVIState(NamedTuple):
    """All that a fit needs to go on: plain tensors."""

    optim_state: Any
    rng: Tensor  # (), long: the seed of the next step


def elbo(
    param_map: Mapping[str, Tensor],
    model: Model,
    guide: Model,
    model_args: tuple[Any, ...],
    guide_args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Tensor:
    """Return an estimate of ``-ELBO``, in nats, that can be differentiated in the parameters.

    A template for losses of your own. Random numbers come from torch's generator.

    Args:
        param_map: Constrained values by name; parameters without one start as they say.
        model: The model.
        guide: The guide.
        model_args: Arguments of the model.
        guide_args: Arguments of the guide.
        kwargs: Arguments of both, by keyword.
    """
    return _estimate(Trace_ELBO(), param_map, model, guide, model_args, guide_args, kwargs)


def _estimate(
    estimator: Any,
    param_map: Mapping[str, Tensor],
    model: Model,
    guide: Model,
    model_args: tuple[Any, ...],
    guide_args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Tensor:
    with Substituted(param_map):
        loss: Tensor = estimator.differentiable_loss(
            lambda: model(*model_args, **kwargs), lambda: guide(*guide_args, **kwargs)
        )
    return loss


class SVI:
    """Fits the parameters of model and guide by pure functions of a state.

    Args:
        model: The model.
        guide: The guide: a program that samples the latent sites of the model.
        loss: :func:`elbo`, a function of the same arguments, or an estimator of ``ppl.infer``,
            such as ``Trace_ELBO()``.
        optim: An optimizer of ``ppl.optim.functional``; or one of ``ppl.optim``, which is slower.
        static: Arguments of both model and guide that stay the same.

    Raises:
        SiteTypeError: If loss and optimizer are in each other's place.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.optim.functional import Adam
        >>> from ppl.primitives import get_param_store, param, sample
        >>> def model():
        ...     sample("z", dist.Normal(3.0, 1.0))
        >>> def guide():
        ...     sample("z", dist.Normal(param("loc", torch.tensor(0.0)), 1.0))
        >>> svi = SVI(model, guide, elbo, Adam(0.05))
        >>> state, get_params = svi.init(0)
        >>> for _ in range(200):
        ...     state, loss = svi.update(state)
        >>> bool(abs(get_params(state)["loc"] - 3.0) < 0.3), "loc" in get_param_store()
        (True, False)
    """

    def __init__(self, model: Model, guide: Model, loss: Any, optim: Any, **static: Any) -> None:
        for role, program in (("model", model), ("guide", guide)):
            require_program(role, program)
        if not (isinstance(optim, PyroOptim) or hasattr(optim, "get_params")):
            raise SiteTypeError(f"optim must be an optimizer, got {optim!r}; {_ORDER}")
        self.model: Model
        self.guide: Model
        self.static: dict[str, Any]
        self.model, self.guide, self.static = model, guide, static
        self.loss: Callable[..., Tensor] = _loss_function(loss)
        self.optim: PureOptim | Any = PureOptim(optim) if isinstance(optim, PyroOptim) else optim
        self._constraints: dict[str, constraints.Constraint] | None = None

    def init(
        self, rng: int | torch.Generator, model_args: tuple[Any, ...] = (), guide_args: Any = ()
    ) -> tuple[SVIState, Callable[[Any], Params]]:
        """Run guide and model once, and return the first state and :meth:`get_params`.

        Args:
            rng: A seed, or a generator, which is left as it is.
            model_args: Arguments of the model.
            guide_args: Arguments of the guide.
        """
        with seeded(_seed(rng)), param_store() as store, torch.no_grad():
            following = _next_seed()
            guide_trace = poutine.trace(self.guide).get_trace(*guide_args, **self.static)
            replayed = poutine.replay(self.model, trace=guide_trace)
            replayed(*model_args, **self.static)
            leaves = dict(store.named_parameters())
            self._constraints = {name: store._constraints[name] for name in leaves}
        return SVIState(self.optim.init(leaves), following), self.get_params

    def update(
        self, svi_state: Any, model_args: tuple[Any, ...] = (), guide_args: tuple[Any, ...] = ()
    ) -> tuple[SVIState, Tensor]:
        """Return the state after one step, and the loss before it, a scalar in nats.

        Args:
            svi_state: What :meth:`init` or :meth:`update` returned.
            model_args: Arguments of the model, such as a batch of data.
            guide_args: Arguments of the guide.
        """
        state = _state(svi_state)
        values = self.optim.get_params(state.optim_state)
        leaves = {name: x.detach().requires_grad_() for name, x in values.items()}
        with torch.enable_grad():
            loss, following = self._loss_at(leaves, state.rng, model_args, guide_args)
            found = torch.autograd.grad(
                loss, list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        gradients = dict(zip(leaves, found, strict=True))
        updated = self.optim.update(gradients, state.optim_state)
        return SVIState(updated, following), loss.detach()

    def evaluate(
        self, svi_state: Any, model_args: tuple[Any, ...] = (), guide_args: tuple[Any, ...] = ()
    ) -> Tensor:
        """Return the loss that :meth:`update` would return, without a step."""
        state = _state(svi_state)
        with torch.no_grad():
            values = self.optim.get_params(state.optim_state)
            return self._loss_at(values, state.rng, model_args, guide_args)[0]

    def get_params(self, svi_state: Any) -> Params:
        """Return the constrained values of the parameters of model and guide, by name.

        Args:
            svi_state: A state, or the unconstrained values that the optimizer has of it.
        """
        values = svi_state
        if not isinstance(values, Mapping):
            values = self.optim.get_params(_state(values).optim_state)
        return {name: value.detach() for name, value in self._constrained(values).items()}

    def _loss_at(
        self, leaves: Params, rng: Tensor, model_args: tuple[Any, ...], guide_args: tuple[Any, ...]
    ) -> tuple[Tensor, Tensor]:
        with seeded(int(rng)):
            following = _next_seed()
            values = self._constrained(leaves)
            with Substituted(values, strict=True):
                loss = self.loss(
                    values, self.model, self.guide, model_args, guide_args, self.static
                )
        return loss, following

    def _constrained(self, leaves: Params) -> Params:
        if self._constraints is None:
            raise NotRunError("constraints of parameters are not known yet; call init first")
        return {n: transform_to(self._constraints[n])(leaf) for n, leaf in leaves.items()}


def _loss_function(loss: Any) -> Callable[..., Tensor]:
    if isinstance(loss, str):
        loss = ELBO if loss == "ELBO" else plugins.load("ppl.elbos", loss)
    if isinstance(loss, type) and issubclass(loss, ELBO):
        loss = loss()
    if hasattr(loss, "get_params") or isinstance(loss, PyroOptim) or not callable(loss):
        raise SiteTypeError(f"loss must be a function or an ELBO, got {loss!r}; {_ORDER}")
    return partial(_estimate, loss) if hasattr(loss, "differentiable_loss") else loss


def _state(given: Any) -> SVIState:
    """Return a state, also from the pair that ``init`` returns."""
    state: SVIState = given if isinstance(given, SVIState) else given[0]
    return state


def _seed(rng: Any) -> int:
    if isinstance(rng, torch.Generator):
        copied = torch.Generator(rng.device).set_state(rng.get_state())
        return int(torch.randint(2**62, (), generator=copied, device=rng.device))
    try:
        return operator.index(rng)
    except TypeError:
        raise SiteTypeError(f"rng must be an int or a torch.Generator, got {rng!r}") from None


def _next_seed() -> Tensor:
    return torch.randint(2**62, ())
