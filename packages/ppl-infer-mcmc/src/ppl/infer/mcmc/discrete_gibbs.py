"""Exact draws of discrete sites given all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import NotRunError, SiteError, warn
from ppl.infer.discrete import infer_discrete
from ppl.infer.enum import config_enumerate
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.target.faults import described
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import Params
from ppl.infer.site_shapes import check_counted_once
from ppl.infer.util import max_plate_nesting_of
from ppl.poutine.program_errors import require_instance, require_program
from ppl.poutine.util import site_is_subsample
from ppl.validation import is_validation_enabled, validation_enabled

Model = Callable[..., Any]


@arguments.names_unknown_arguments
class DiscreteGibbs(MCMCKernel):
    """Draws discrete sites from their distribution given all others: nothing is rejected.

    All discrete sites of the model are drawn together, from their joint conditional distribution,
    by enumeration along tensor dimensions as in :func:`~ppl.infer.infer_discrete`. Where the model
    does not allow that, such as where it branches on a value, or where all elements of a plate have
    a common child, one element after another is drawn given the others, which takes an execution of
    the model for each value of each element; a warning says so.

    A block of :class:`~ppl.infer.mcmc.Gibbs`. Alone it samples a model all of whose latent sites
    are discrete.

    Args:
        model: The model.
        joint: False to draw one element after another from the start.

    Raises:
        SiteError: In `setup`, if a latent site is continuous or has infinitely many values.
        ShapeError: In `setup`, if observations broadcast along a dimension without a plate.

    References:
        Geman & Geman 1984, "Stochastic relaxation, Gibbs distributions, and the Bayesian
        restoration of images".
    """

    _of_a_run = ("_args", "_start", "_marked")

    def __init__(self, model: Model, joint: bool = True) -> None:
        require_program("model", model)
        require_instance("model", model)
        self.model = model
        self.joint: bool = arguments.flag("joint", joint)
        self._given: dict[str, Tensor] | None = None
        self._args: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
        self._start: dict[str, Tensor] | None = None
        self._marked: Any = None
        self._is_joint: bool = self.joint

    def __repr__(self) -> str:
        options = {"model": self.model, "joint": self.joint}
        return describe(self, options, "exact draws of discrete sites")

    @opaque
    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        self._args, self._is_joint = (args, kwargs), self.joint
        trace = self._run(self.model)
        if is_validation_enabled():
            check_counted_once(trace)
        sites = dict(discrete_sites(trace))
        self._start = {name: site["value"] for name, site in sites.items()}
        self._start |= {n: x for n, x in (self._given or {}).items() if n in sites}
        if self._is_joint:
            self._marked = infer_discrete(
                config_enumerate(self.model), first_available_dim=-1 - max_plate_nesting_of(trace)
            )
            try:
                self._draw_together()
            except Exception as error:  # one of the model itself comes again
                warn(f"discrete sites are drawn one element after another: {described(error)}")
                self._is_joint = False

    @opaque
    def sample(self, params: Params) -> Params:
        """Return the next draw after `params`; both are values by site."""
        if self._args is None:
            raise NotRunError("call DiscreteGibbs.setup(warmup_steps, ...) before sampling")
        with validation_enabled(False), torch.no_grad():
            return self._draw_together() if self._is_joint else self._draw_each(dict(params))

    def constrain(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the draws: they are the values of the sites."""
        return dict(draws)

    def cleanup(self) -> None:
        """Forget the chain."""
        vars(self).update(dict.fromkeys(self._of_a_run))

    @property
    def initial_params(self) -> Params:
        """Values that the chain starts from, by site."""
        return self._start or self._given or {}

    @initial_params.setter
    def initial_params(self, params: Params | None) -> None:
        self._given = dict(params) if params else None

    def _run(self, model: Model) -> poutine.Trace:
        assert self._args is not None
        args, kwargs = self._args
        trace: poutine.Trace = poutine.trace(model).get_trace(*args, **kwargs)
        return trace

    def _draw_together(self) -> dict[str, Tensor]:
        assert self._start is not None
        trace = self._run(self._marked)
        return {name: trace.nodes[name]["value"] for name in self._start}

    def _draw_each(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Draw one element after another given the latest values of the others."""
        for name in list(values):
            site = self._run(poutine.condition(self.model, data=values)).nodes[name]
            support = site["fn"].enumerate_support(expand=False)
            support = support.reshape(len(support), *site["fn"].event_shape)
            batch = values[name].shape[: values[name].dim() - len(site["fn"].event_shape)]
            for number in range(batch.numel()):
                index = tuple(int(i) for i in torch.unravel_index(torch.tensor(number), batch))
                candidates = [_with(values[name], index, value) for value in support]
                log_probs = torch.stack([self._log_joint({**values, name: c}) for c in candidates])
                chosen = torch.distributions.Categorical(logits=log_probs).sample()
                values[name] = candidates[int(chosen)]
        return values

    def _log_joint(self, values: dict[str, Tensor]) -> Tensor:
        """Return the log density at values of all sites, ``()``; there is none where it is nan."""
        trace = self._run(poutine.condition(self.model, data=values))
        return torch.as_tensor(trace.log_prob_sum()).double().nan_to_num(nan=-torch.inf)


def _with(values: Tensor, index: tuple[int, ...], value: Tensor) -> Tensor:
    changed = values.clone()
    changed[index] = value.to(values.dtype)
    return changed


def discrete_sites(trace: poutine.Trace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over name and site of the latent sites, which must be discrete and finite.

    Raises:
        SiteError: If one of them is not.
    """
    for name, site in trace.iter_stochastic_nodes():
        if site_is_subsample(site):
            continue
        if not site["fn"].support.is_discrete:
            raise SiteError(
                f"site {name!r} is continuous, but DiscreteGibbs draws discrete sites; give "
                "continuous ones to another kernel: Gibbs([(NUTS, [...]), (DiscreteGibbs, [...])], "
                "model)",
                site=name,
            )
        if not getattr(site["fn"], "has_enumerate_support", False):
            raise SiteError(
                f"site {name!r} has infinitely many values, so DiscreteGibbs cannot try them all; "
                "give it to a kernel of your own, or write the model without it",
                site=name,
            )
        yield name, site
