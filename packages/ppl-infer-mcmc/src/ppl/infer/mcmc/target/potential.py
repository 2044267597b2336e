"""From a model to its potential energy on the unconstrained scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

import ppl.poutine as poutine
from ppl.distribution import MaskedDistribution
from ppl.engine.factorization import FiniteMatrices
from ppl.errors import ShapeError
from ppl.infer.enumeration import enumerate_discrete, log_sum
from ppl.infer.layout import Layout
from ppl.infer.mcmc.target.angles import bijection_of
from ppl.infer.mcmc.target.faults import faults_of, sample_sites
from ppl.infer.mcmc.target.log_densities import log_density
from ppl.infer.mcmc.target.log_scale import log_slope
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.parameters import all_valid
from ppl.infer.mcmc.target.structure import Structure
from ppl.poutine.messenger import Messenger
from ppl.validation import validation_enabled

Params = Mapping[str, Tensor]
PotentialFn = Callable[[Params], Tensor]


class UnconstrainedMessenger(Messenger):
    """Gives latent sites the values that belong to unconstrained ones; draws nothing at them.

    The transform of a site is looked up from its support at each run, so a support may depend on
    other sites.  `log_abs_det` sums the logarithms of the Jacobian determinants.

    Args:
        unconstrained: Unconstrained values by site.
        transforms: From the support to the unconstrained space, for the sites that do not use the
            registered bijection of their support.
    """

    def __init__(self, unconstrained: Params, transforms: Mapping[str, Transform]) -> None:
        self.unconstrained = unconstrained
        self.transforms = transforms
        self.log_abs_det: Tensor | float = 0.0
        self._used: dict[str, Transform] = {}

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if name not in self.unconstrained or msg["is_observed"]:
            return
        if msg["infer"].get("_is_filler"):
            msg["fn"] = _unmasked(msg["fn"])
        given = self.transforms.get(name)
        transform = bijection_of(msg["fn"]) if given is None else given.inv
        value = transform(self.unconstrained[name])
        jacobian = log_slope(transform, self.unconstrained[name], value)
        self.log_abs_det = self.log_abs_det + jacobian.sum()
        self._used[name] = transform
        msg["value"], msg["done"] = value, True

    def score(self, trace: poutine.Trace) -> None:
        """Score the latent sites where their constrained values have lost digits."""
        for name, transform in self._used.items():
            is_given = name in self.transforms
            fn = trace.nodes[name]["fn"]
            log_prob = log_density(fn, transform, self.unconstrained[name], is_given)
            if log_prob is not None:
                trace.set_log_prob(name, log_prob)


def _unmasked(fn: Any) -> Any:
    """Return the distribution of values that are not used where they are masked.

    There they would have no density and run away; under their prior the marginal is the same.
    """
    return fn.base_dist if isinstance(fn, MaskedDistribution) else fn


class ModelPotential:
    """The negative log density of a model on the unconstrained scale, in nats, up to a constant.

    Where a parameter of a distribution is invalid it is infinite.

    Args:
        model: The model.
        args: Its arguments.
        kwargs: Its keyword arguments.
        transforms: See :class:`UnconstrainedMessenger`.
        max_plate_nesting: The number of batch dimensions of plates, if the model has discrete
            latent sites: these are summed out.
        structure: The sites that every execution must have; not checked if None.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        transforms: Mapping[str, Transform] = {},
        max_plate_nesting: int | None = None,
        structure: Structure | None = None,
    ) -> None:
        self.structure = structure
        self.model: Callable[..., Any] = model
        if max_plate_nesting is not None:
            self.model = enumerate_discrete(self.model, max_plate_nesting)
        self.max_plate_nesting = max_plate_nesting
        self.hidden: set[str] = set()
        self.args = args
        self.kwargs = kwargs
        self.transforms = transforms

    def __call__(self, unconstrained: Params) -> Tensor:
        """Return the potential energy, shape ``()``, of unconstrained values by site.

        Raises:
            StructureError: If the sites depend on the values.
        """
        trace, messenger = self._run(unconstrained)
        messenger.score(trace)
        log_joint = trace.log_prob_sum() if self.max_plate_nesting is None else log_sum(trace)
        potential = torch.as_tensor(-(log_joint + messenger.log_abs_det))
        varies = any(value.requires_grad for value in unconstrained.values())
        valid = all_valid(sample_sites(trace), self.max_plate_nesting, only_varying=varies)
        return potential if valid is None else torch.where(valid, potential, torch.inf)

    def constrain(self, unconstrained: Params) -> dict[str, Tensor]:
        """Return the values of the latent and of the deterministic sites, but for `hidden` ones."""
        trace, _ = self._run(unconstrained)
        wanted = {*unconstrained, *deterministic_sites(trace)} - self.hidden
        return {name: site["value"] for name, site in trace.nodes.items() if name in wanted}

    def hide_enumerated(self, unconstrained: Params, single: poutine.Trace) -> None:
        """Hide the deterministic sites that depend on summed out ones: they have no one value.

        Args:
            unconstrained: Values to run the model at.
            single: Of an execution without enumeration, with the shapes of single values.
        """
        with validation_enabled(True):  # of the dimensions that enumeration uses
            trace, _ = self._run(unconstrained)
        for name in deterministic_sites(trace):
            if trace.nodes[name]["value"].shape != single.nodes[name]["value"].shape:
                self.hidden.add(name)

    @validation_enabled(False)
    def faults(self, unconstrained: Params) -> list[str]:
        """Return why there is no density at unconstrained values by site; empty if there is."""
        with torch.no_grad(), FiniteMatrices():  # type: ignore[no-untyped-call]
            return faults_of(lambda: self._run(unconstrained)[0], self.max_plate_nesting)

    @opaque
    def _run(self, unconstrained: Params) -> tuple[poutine.Trace, UnconstrainedMessenger]:
        with UnconstrainedMessenger(unconstrained, self.transforms) as messenger:
            trace = poutine.trace(self.model).get_trace(*self.args, **self.kwargs)
        if self.structure is not None:
            self.structure.check(trace)
        return trace, messenger


def deterministic_sites(trace: poutine.Trace) -> list[str]:
    """Return the names of the sites of ``deterministic`` statements."""
    sites = trace.nodes.items()
    return [name for name, site in sites if site.get("infer", {}).get("_deterministic")]


def flat(potential_fn: PotentialFn, layout: Layout) -> Callable[[Tensor], Tensor]:
    """Return the potential as a function of flat positions ``(dim,)``, in their precision.

    One number is a potential energy, whatever its shape.

    Raises:
        ShapeError: When the potential is not one number.
    """

    def potential(position: Tensor) -> Tensor:
        value = torch.as_tensor(potential_fn(layout.unpack(position)))
        if value.numel() != 1:
            raise ShapeError(
                f"the potential energy has shape {tuple(value.shape)}, but must be one number: sum "
                "over the elements of the sites"
            )
        return value.reshape(()).to(position.dtype)

    return potential
