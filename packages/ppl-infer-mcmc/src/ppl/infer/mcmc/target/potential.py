"""From a model to its potential energy on the unconstrained scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

import ppl.poutine as poutine
from ppl.distribution import MaskedDistribution
from ppl.engine import batch_first, fail_with_nan, optimize, points_near, record, same_function
from ppl.engine.factorization import FiniteMatrices
from ppl.engine.threads import work_of
from ppl.errors import ShapeError, warn
from ppl.infer.enumeration import enumerate_discrete, log_sum
from ppl.infer.layout import Layout
from ppl.infer.mcmc.target.angles import bijection_of
from ppl.infer.mcmc.target.faults import described, faults_of, is_of_point, sample_sites
from ppl.infer.mcmc.target.log_densities import log_density
from ppl.infer.mcmc.target.log_scale import log_slope
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.parameters import all_valid
from ppl.infer.mcmc.target.structure import Structure
from ppl.poutine.messenger import Messenger
from ppl.validation import validation_enabled

ROWS_COMPARED = 2  # of the chains at each point: plain execution is slow
Params = Mapping[str, Tensor]
PotentialFn = Callable[[Params], Tensor]
PotentialAndGrad = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps positions ``(chain, dim)`` to potentials ``(chain,)`` and gradients ``(chain, dim)``."""


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


def evaluate(potential: Callable[[Tensor], Tensor], position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the potential ``()`` and its gradient at one flat position ``(dim,)``, by autograd.

    What the model cannot compute there, such as a factorization of a matrix, gives nan.

    Raises:
        Exception: What comes from a mistake in the program, see
            :func:`~ppl.infer.mcmc.target.faults.is_of_point`.
    """
    position = position.detach().requires_grad_()
    try:
        with torch.enable_grad():
            value = potential(position)
        (gradient,) = torch.autograd.grad(value, position)
    except Exception as error:
        if not is_of_point(error):
            raise
        nan = torch.full_like(position.detach(), torch.nan)
        return nan.sum(), nan
    return value.detach(), gradient


def loop_potential(potential: Callable[[Tensor], Tensor]) -> PotentialAndGrad:
    """Return the batched potential and gradient that runs the chains one after another."""

    def potential_and_grad(position: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = zip(*(evaluate(potential, z) for z in position), strict=True)
        return torch.stack(values), torch.stack(gradients)

    return potential_and_grad


def vmap_potential(potential: Callable[[Tensor], Tensor]) -> PotentialAndGrad:
    """Return the batched potential and gradient that runs all chains in one execution.

    Where that fails, the chains run one after another.  If none of them fails alone, as in a model
    that branches on values, a warning says why; a matrix of one chain that cannot be factorized is
    a matter of that chain.

    Raises:
        Exception: What comes from a mistake in the program.
    """
    together = torch.func.vmap(torch.func.grad_and_value(potential))

    def potential_and_grad(position: Tensor) -> tuple[Tensor, Tensor]:
        try:
            gradient, value = together(position)
        except Exception as error:
            if not is_of_point(error):
                raise
            value, gradient = loop_potential(potential)(position)
            if bool(value.isfinite().all()):
                warn(f"starting points are tried chain by chain, which is slow: {described(error)}")
        return value, gradient

    return potential_and_grad


class RecordedPotential:
    """The potential and gradient of all chains as a tensor program, without handlers.

    Args:
        program: The program.
        work: How many numbers it computes; default: as the recording says.
    """

    def __init__(self, program: Callable[..., Any], work: int | None = None) -> None:
        self.program = program
        self.work: int = work_of(program) if work is None else work

    def __call__(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return potentials ``(chain,)`` and gradients ``(chain, dim)``.

        A chain at which an operation fails has nan.
        """
        try:
            gradient, value = self.program(position)
        except RuntimeError:  # of one of the chains
            return self._each_alone(position)
        return value, gradient

    def _each_alone(self, position: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = torch.full_like(position[:, 0], torch.nan), position * torch.nan
        for chain, here in enumerate(position):
            with suppress(RuntimeError):  # the program wants as many positions as chains
                found = self.program(here.expand_as(position).contiguous())
                gradient[chain], value[chain] = found[0][0], found[1][0]
        return value, gradient


def recorded_potential(potential: Callable[[Tensor], Tensor], position: Tensor) -> PotentialAndGrad:
    """Return the potential and gradient of all chains at once.

    The potential is recorded as a tensor program over all chains.  The program is compared with
    plain execution of some chains at several points; where it cannot be recorded, or differs, the
    chains are run one after another and a warning says why.

    Args:
        potential: Maps a flat position ``(dim,)`` to the potential energy ``()``.
        position: Positions of the shape ``(chain, dim)`` that all calls will have.
    """
    eager = loop_potential(potential)
    try:
        vectorized = torch.func.vmap(torch.func.grad_and_value(potential))
        program = optimize(fail_with_nan(record(vectorized, position)), [position], [batch_first])
        if _is_right(RecordedPotential(program), eager, position):
            return RecordedPotential(program)
        cause = "its recording gives other values: it draws at random or depends on values"
    except RuntimeError as error:  # of the recorder, or of the replay
        cause = str(error)
    warn(f"the model runs without recording, which is slow: {cause}")
    return eager


def _is_right(recorded: PotentialAndGrad, eager: PotentialAndGrad, position: Tensor) -> bool:
    """Whether the potential of all chains together is that of some of them alone."""
    points = points_near([position])

    def is_right_at(number: int) -> bool:
        rows = torch.arange(len(position))[number % len(position) :: len(points)][:ROWS_COMPARED]
        return same_function(
            lambda z: _where_finite(*(x[rows] for x in recorded(z))),
            lambda z: _where_finite(*eager(z[rows])),
            [points[number]],
        )

    return all(map(is_right_at, range(len(points))))


def _where_finite(value: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return potentials and gradients, nan where there is no density: it has no gradient."""
    is_finite = value.isfinite()
    return value.where(is_finite, torch.nan), gradient.where(is_finite[:, None], torch.nan)


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
