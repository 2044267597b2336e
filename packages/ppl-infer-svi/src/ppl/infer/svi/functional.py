"""Stochastic variational inference as pure functions: state in, state out.

Nothing global is read or written, neither the parameter store nor the generators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints, transform_to

import ppl.poutine as poutine
from ppl.errors import ArgumentError, ArgumentTypeError, SiteError
from ppl.infer.elbo import ELBO
from ppl.infer.match import check_pair
from ppl.params import ParamStoreDict
from ppl.primitives import param_store
from ppl.randomness import seeded

Model = Callable[..., Any]
Args = tuple[Any, ...]
Params = Mapping[str, Tensor]
Loss = Callable[[Params, Model, Model, Args, Args, Mapping[str, Any]], Tensor]
SEEDS = 2**62


class SVIState(NamedTuple):
    """The state of a fit: nested tuples and dicts of plain tensors."""

    optim_state: Any
    rng: Tensor  # (), long: the seed of the next step


class SVI:
    """Fits the parameters of model and guide, in steps that are functions of their state.

    The arguments stand in another order than those of :class:`ppl.infer.SVI`.

    Args:
        model: The model.
        guide: The guide; it need not have the arguments of the model.
        loss: :func:`elbo`, an :class:`~ppl.infer.elbo.ELBO`, or a function of the arguments of
            :func:`elbo`.
        optim: One of :mod:`ppl.optim.functional`.
        kwargs: Keyword arguments of model and guide that stay the same in all steps.

    Raises:
        ArgumentTypeError: If loss and optimizer are something else, or stand in each other's place.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.optim.functional import Adam
        >>> from ppl.primitives import param, sample
        >>> def model():
        ...     sample("z", dist.Normal(3.0, 1.0))
        >>> def guide():
        ...     sample("z", dist.Normal(param("loc", torch.tensor(0.0)), 1.0))
        >>> svi = SVI(model, guide, elbo, Adam(0.05))
        >>> state, get_params = svi.init(0)
        >>> for _ in range(200):
        ...     state, loss = svi.update(state)
        >>> bool(abs(svi.get_params(state)["loc"] - 3.0) < 0.3)
        True
    """

    def __init__(
        self, model: Model, guide: Model, loss: Loss | ELBO, optim: Any, **kwargs: Any
    ) -> None:
        if not hasattr(optim, "get_params") or not callable(loss):
            raise ArgumentTypeError(
                "functional.SVI takes the loss before the optimizer, as in SVI(model, guide, "
                f"elbo, ppl.optim.functional.Adam(0.01)), got {loss!r} and {optim!r}"
            )
        self.model: Model = model
        self.guide: Model = guide
        self.optim: Any = optim
        self.kwargs: dict[str, Any] = kwargs
        self.loss: Loss = _loss_of(loss) if isinstance(loss, ELBO) else loss
        self._constraints: dict[str, constraints.Constraint] = {}

    def init(
        self, rng: int | torch.Generator | Tensor, model_args: Args = (), guide_args: Args = ()
    ) -> tuple[SVIState, Callable[[Any], dict[str, Tensor]]]:
        """Return the first state, and what maps unconstrained values to those of the sites.

        Args:
            rng: A seed, or a generator from which one is drawn.
            model_args: Arguments of the model.
            guide_args: Arguments of the guide.
        """
        seed = _seed_of(rng)
        with param_store() as store, seeded(seed):
            trace = poutine.trace(self.guide).get_trace(*guide_args, **self.kwargs)
            poutine.replay(self.model, trace=trace)(*model_args, **self.kwargs)
            leaves = {name: leaf.detach().clone() for name, leaf in store.named_parameters()}
        self._constraints = {name: store._constraints[name] for name in leaves}
        return SVIState(self.optim.init(leaves), _next_seed(seed)), self._constrain

    def get_params(self, svi_state: SVIState) -> dict[str, Tensor]:
        """Return the (constrained) values at the param sites of model and guide."""
        return self._constrain(self.optim.get_params(_state_of(svi_state).optim_state))

    def update(
        self, svi_state: SVIState, model_args: Args = (), guide_args: Args = ()
    ) -> tuple[SVIState, Tensor]:
        """Return the state after a step, and the loss ``()`` before it.

        Raises:
            SiteError: If a parameter appears that was not there in :meth:`init`.
        """
        state = _state_of(svi_state)
        found: Params = self.optim.get_params(state.optim_state)
        leaves = {name: x.detach().requires_grad_() for name, x in found.items()}
        loss = self._evaluate(leaves, int(state.rng), model_args, guide_args)
        slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        gradients = {
            name: torch.zeros_like(leaf) if slope is None else slope
            for (name, leaf), slope in zip(leaves.items(), slopes, strict=True)
        }
        optim_state = self.optim.update(gradients, state.optim_state)
        return SVIState(optim_state, _next_seed(int(state.rng))), loss.detach()

    @torch.no_grad()
    def evaluate(self, svi_state: SVIState, model_args: Args = (), guide_args: Args = ()) -> Tensor:
        """Return the loss ``()`` at a state, with the draws of the next step."""
        state = _state_of(svi_state)
        params: Params = self.optim.get_params(state.optim_state)
        return self._evaluate(params, int(state.rng), model_args, guide_args)

    def _evaluate(self, leaves: Params, seed: int, model_args: Args, guide_args: Args) -> Tensor:
        params = self._constrain(leaves)
        with param_store() as store, seeded(seed):
            loss = self.loss(params, self.model, self.guide, model_args, guide_args, self.kwargs)
            _refuse_new(store, leaves)
        return loss

    def _constrain(self, leaves: Params) -> dict[str, Tensor]:
        unknown = leaves.keys() - self._constraints.keys()
        if unknown:
            raise ArgumentError(
                f"the state has parameters {sorted(unknown)} that this SVI does not know: call its "
                "init first, with arguments such as those of the steps"
            )
        return {name: transform_to(self._constraints[name])(x) for name, x in leaves.items()}


def elbo(
    param_map: Params,
    model: Model,
    guide: Model,
    model_args: Args,
    guide_args: Args,
    kwargs: Mapping[str, Any],
) -> Tensor:
    """Return an estimate of the negative evidence lower bound, in nats, from one draw.

    It is differentiable in the parameters, by pathwise gradients: the sites of the guide must have
    reparametrized samplers.  A template for losses of your own.

    Args:
        param_map: (Constrained) values of the parameters by name.
        model: The model.
        guide: The guide.
        model_args: Arguments of the model.
        guide_args: Arguments of the guide.
        kwargs: Keyword arguments of both.

    Raises:
        SiteError: If a site of the guide has no reparametrized sampler.
    """
    guide, model = (poutine.substitute(fn, data=param_map) for fn in (guide, model))
    guide_trace = poutine.trace(guide).get_trace(*guide_args, **kwargs)
    for name, site in guide_trace.nodes.items():
        if site["type"] == "sample" and not getattr(site["fn"], "has_rsample", True):
            raise SiteError(
                f"site {name!r}: elbo needs a reparametrized sampler, which "
                f"{type(site['fn']).__name__} has not; pass Trace_ELBO() as the loss",
                site=name,
            )
    replayed = poutine.replay(model, trace=guide_trace)
    model_trace = poutine.trace(replayed).get_trace(*model_args, **kwargs)
    check_pair(model_trace, guide_trace)
    loss: Tensor = guide_trace.log_prob_sum() - model_trace.log_prob_sum()
    return loss


def _loss_of(estimator: ELBO) -> Loss:
    """Return an estimator as a function of the parameters."""

    def loss(
        param_map: Params,
        model: Model,
        guide: Model,
        model_args: Args,
        guide_args: Args,
        kwargs: Mapping[str, Any],
    ) -> Tensor:
        guide, model = (poutine.substitute(fn, data=param_map) for fn in (guide, model))
        return estimator.differentiable_loss(
            lambda: model(*model_args, **kwargs), lambda: guide(*guide_args, **kwargs)
        )

    return loss


def _state_of(state: Any) -> SVIState:
    """Return a state, also of the pair that ``init`` returns."""
    return state if isinstance(state, SVIState) else state[0]


def _seed_of(rng: int | torch.Generator | Tensor) -> int:
    if isinstance(rng, torch.Generator):
        return int(torch.randint(SEEDS, (), generator=rng, device=rng.device))
    if isinstance(rng, bool) or not isinstance(rng, (int, Tensor)):
        raise ArgumentTypeError(f"rng must be an integer or a torch.Generator, got {rng!r}")
    return int(rng)


def _next_seed(seed: int) -> Tensor:
    return torch.randint(SEEDS, (), generator=torch.Generator().manual_seed(seed))


def _refuse_new(store: ParamStoreDict, known: Params) -> None:
    new = sorted(set(store.keys()) - known.keys())
    if new:
        raise SiteError(
            f"parameter {new[0]!r} was not there when init ran model and guide, so it is not "
            "trained: call init with arguments such as those of the steps",
            site=new[0],
        )
