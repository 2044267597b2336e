"""One result of all inference: draws with what they are of, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError, MissingSiteError, ShapeError

from ..arguments import nearest_site, positive_int
from ..diagnostics import Verdict
from ..likelihood import log_likelihood
from ..predictive import Predictive
from . import elpd
from .elpd import ELPD
from .sensitivity import Sensitivity, power_scaling
from .sites import Model, Sites, look, sites_of
from .summaries import SummaryTable, summarize
from .verdicts import RATIO, judge
from .weights import checked_weights, chosen

if TYPE_CHECKING:
    import xarray

Samples = dict[str, Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Draws from a posterior, whoever made them, and what can be asked of them.

    ``ppl.infer.posterior`` makes one; so do the ``posterior()`` of a run of MCMC, of a guide, of
    importance sampling and of SMC, and :meth:`from_draws` of any draws.

    Attributes:
        draws: By site, shape ``(chain, draw, *site)``; all but Markov chains are one chain.
        method: What made them.
        model: The model; None if it is not known, and then nothing can be predicted.
        args: The arguments of the model: the data.
        kwargs: Its keyword arguments.
        log_weights: Of the draws, shape ``(chain, draw)``, summing to one; None if all are equal.
        statistics: What the method reports of each draw, shape ``(chain, draw, ...)``.
        history: What it reports of its steps, such as ``"loss"``.
        facts: Numbers and words about the whole, such as ``"log_evidence"`` in nats.
        are_chains: Whether the draws are Markov chains, which can be compared with each other.
        sites: The sites of the model, with the names of their dimensions.
        judge: Returns the verdict of :meth:`diagnose`.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model(x):
        ...     mean = sample("mean", dist.Normal(0.0, 10.0))
        ...     sample("x", dist.Normal(mean, 1.0), obs=x)
        >>> draws = torch.linspace(-2.0, 2.0, 100) + 1.0
        >>> posterior = Posterior.from_draws({"mean": draws[None]}, model, torch.tensor(1.0))
        >>> posterior
        Posterior by draws: 1 x 100 draws of mean
        >>> posterior.log_likelihood()["x"].shape
        torch.Size([100])
    """

    draws: Samples
    method: str = "draws"
    model: Model | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    log_weights: Tensor | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    history: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    are_chains: bool = False
    sites: Sites = field(default_factory=Sites)
    judge: Callable[[Posterior], Verdict] = judge

    @classmethod
    def from_draws(
        cls,
        draws: Mapping[str, Tensor],
        model: Model | None = None,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Posterior:
        """Return a posterior of given draws; deterministic sites of the model are computed.

        Args:
            draws: By site, shape ``(chain, draw, *site)``.
            model: The model.
            args: Its arguments.
            kwargs: Its keyword arguments.
            options: Other attributes of the posterior, by name.

        Raises:
            ShapeError: If the sites differ in their numbers of chains and draws, or weights do.
            MissingSiteError: If the model has no latent site of a name.
        """
        draws = {name: torch.as_tensor(x).detach() for name, x in draws.items()}
        shape = _shape_of(draws)
        weights = checked_weights(options.pop("log_weights", None), shape)
        made = cls(draws, model=model, args=args, kwargs=dict(kwargs or {}), **options)
        made = replace(made, log_weights=weights)
        return made if model is None else made._completed()

    def _completed(self) -> Posterior:
        """Return it with the sites of the model looked at, and those computed that are missing."""
        trace = look(self._model("look at"), self.args, self.kwargs, self._first())
        sites = sites_of(trace)
        known = (*sites.latent, *sites.computed)
        draws = {n: x for n, x in self.draws.items() if not n.startswith("_") or n in known}
        for name in draws:
            if name not in known:
                raise MissingSiteError(
                    f"the draws have a site {name!r}, but the model has no such latent site"
                    f"{nearest_site(name, known)}; it has {list(known)}",
                    site=name,
                )
        missing = [n for n in sites.computed if n not in draws and n in sites.axes]
        if missing and set(sites.latent) <= set(draws):
            found = self._predictive(self.model, missing)(*self.args, **self.kwargs)
            for name in missing:
                draws[name] = found[name].reshape(*self.shape, *trace.nodes[name]["value"].shape)
        return replace(self, draws=draws, sites=sites)

    # what there is

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of chains and of draws in each."""
        return _shape_of(self.draws)

    @property
    def num_draws(self) -> int:
        """The number of draws of all chains."""
        return self.shape[0] * self.shape[1]

    def __repr__(self) -> str:
        shapes = {name: tuple(x.shape[2:]) for name, x in self.draws.items()}
        names = ", ".join(f"{n}{list(shape) if shape else ''}" for n, shape in shapes.items())
        weighted = "" if self.log_weights is None else "weighted "
        chains, draws = self.shape
        return f"Posterior by {self.method}: {chains} x {draws} {weighted}draws of {names}"

    def get_samples(self, group_by_chain: bool = False) -> Samples:
        """Return the draws by site, shape ``(draw, *site)``, or ``(chain, draw, *site)``."""
        if group_by_chain:
            return dict(self.draws)
        return {name: x.flatten(0, 1) for name, x in self.draws.items()}

    def latent_draws(self) -> Samples:
        """Return the draws of what was inferred, without what is computed from it."""
        computed = self.sites.computed
        return {n: x for n, x in self.draws.items() if n not in computed} or dict(self.draws)

    def resampled(self, num_draws: int | None = None) -> Posterior:
        """Return a posterior of equally weighted draws, the same at every call.

        Args:
            num_draws: How many; by default as many as there are. Without weights a smaller number
                takes draws at equal distances.
        """
        count = self.num_draws
        number = positive_int("num_draws", count if num_draws is None else num_draws)
        if self.log_weights is None and number == count:
            return self
        if self.log_weights is None:
            index = ((torch.arange(number) + 0.5) * (count / number)).long()
        else:
            index = chosen(self.log_weights.flatten(), number)

        def take(values: Mapping[str, Tensor]) -> Samples:
            return {n: x.flatten(0, 1)[index.to(x.device)][None] for n, x in values.items()}

        return replace(
            self,
            draws=take(self.draws),
            statistics=take(self.statistics),
            log_weights=None,
            are_chains=False,
        )

    # what it says

    def summary(self, prob: float = 0.9) -> SummaryTable:
        """Return mean, spread and interval of each site, to be printed or read by site and name.

        Effective sample sizes and R-hat are those of Markov chains; other draws have none.

        Args:
            prob: The mass of the central interval.
        """
        table = summarize(self.draws, self.log_weights, self.are_chains, prob)
        table.labels = {
            name: self.sites.labels_of(name, x.shape[2:]) for name, x in self.draws.items()
        }
        return table

    def diagnose(self) -> Verdict:
        """Return whether to believe the draws, why not, and what to type next."""
        return self.judge(self)

    def predict(
        self,
        *args: Any,
        return_sites: Sequence[str] | None = (),
        num_draws: int | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Samples:
        """Return predictions of the observed sites, one for each draw, shape ``(draw, *site)``.

        Weighted draws are resampled first, so that all predictions count the same.

        Args:
            args: Arguments of the model, such as new rows; those of the fit if there are none.
                Observations among them are predicted anew.
            return_sites: The sites to predict; by default those that are not inferred.
            num_draws: How many; by default all.
            batch_size: How many to compute at once; by default what fits into some memory.
            kwargs: Keyword arguments of the model.

        Raises:
            ArgumentError: If the model is not known.
            ShapeError: If the draws of a site do not fit the arguments. Plates with labels may
                grow: elements whose labels are known keep their draws, others are drawn.
        """
        model = self._model("predict")
        if not args and not kwargs:
            args, kwargs = self.args, dict(self.kwargs)
        equal = self.resampled(num_draws)
        program = poutine.uncondition(model)
        predictive = equal._predictive(program, return_sites, batch_size)
        drawn: Samples = predictive(*args, **kwargs)
        return drawn

    def save_predictions(
        self,
        path: str | PathLike[str],
        *args: Any,
        batch_size: int,
        return_sites: Sequence[str] | None = (),
        num_draws: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Write :meth:`predict` to a folder of Zarr, for results that are larger than memory.

        ``xarray.open_zarr(path)`` reads it part by part.

        Args:
            path: The folder, whose name ends in ``.zarr``.
            args: Arguments of the model; those of the fit if there are none.
            batch_size: How many draws are in memory at once.
            return_sites: The sites to predict; by default those that are not inferred.
            num_draws: How many draws; by default all.
            kwargs: Keyword arguments of the model.
        """
        from .files import save_predictions  # which needs xarray

        if not args and not kwargs:
            args, kwargs = self.args, dict(self.kwargs)
        save_predictions(self, path, args, kwargs, return_sites, num_draws, batch_size)

    def prior(self, num_draws: int = 1000) -> Samples:
        """Return draws of all sites from the prior, observations too, shape ``(draw, *site)``."""
        program = poutine.uncondition(self._model("draw from the prior"))
        draw = Predictive(program, num_samples=num_draws, return_sites=None, parallel=True)
        drawn: Samples = draw(*self.args, **self.kwargs)
        return drawn

    def log_likelihood(self) -> Samples:
        """Return the log density of each observation, shape ``(draw, *observation)``, in nats.

        Raises:
            ArgumentError: If the model is not known.
            SiteError: If nothing is observed, or a latent site has no draws.
        """
        model = self._model("score the observations")
        given = {n: x.flatten(0, 1) for n, x in self.latent_draws().items()}
        return log_likelihood(model, given, *self.args, parallel=True, **self.kwargs)

    def loo(self, moment_match: bool = False) -> ELPD:
        """Return how well the model predicts, by leaving out one observation at a time.

        Draws are reweighted by Pareto smoothed importance sampling, not refitted. Where an
        observation is too influential for that, ``pareto_k`` says so.

        Args:
            moment_match: Move the draws for these observations until the weights are good
                (Paananen et al. 2021), at the cost of more evaluations of the model.
        """
        values = self.log_likelihood()
        found = elpd.loo(values, self._base_weights(), self._efficiency())
        if not moment_match or found.is_reliable:
            return found
        from .moment_matching import match  # which few need

        return match(self, values, found)

    def waic(self) -> ELPD:
        """Return how well the model predicts, by the widely applicable information criterion."""
        return elpd.waic(self.log_likelihood(), self._base_weights())

    def sensitivity(self, prior: Sequence[str] | None = None) -> Sensitivity:
        """Return how much the posterior changes if prior or likelihood get more or less weight.

        Args:
            prior: The sites whose prior is scaled; by default those that depend on no other.

        References:
            Kallioinen et al. 2024, "Detecting and diagnosing prior and likelihood sensitivity with
            power-scaling".
        """
        return power_scaling(self, prior)

    # where it goes

    def to_datatree(self, **options: Any) -> xarray.DataTree:
        """Return the posterior as xarray's DataTree, as ArviZ 1 uses.

        Args:
            options: Those of :func:`ppl.infer.results.to_datatree`.
        """
        from .export import to_datatree  # which needs xarray

        return to_datatree(self, **options)

    def to_arviz(self, **options: Any) -> Any:
        """Return what the installed ArviZ uses: a DataTree, or InferenceData before 1.0.

        Args:
            options: Those of :func:`ppl.infer.results.to_datatree`.
        """
        from .export import to_arviz  # which needs xarray

        return to_arviz(self, **options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the posterior to a file: netCDF, or a folder of Zarr if the name ends in .zarr.

        Args:
            path: The file. Programs are not kept: :meth:`load` is given the model again.
        """
        from .files import save  # which needs xarray

        save(self, path)

    @classmethod
    def load(
        cls, path: str | PathLike[str], model: Model | None = None, *args: Any, **kwargs: Any
    ) -> Posterior:
        """Return the posterior of a file.

        Args:
            path: The file.
            model: The model; without it nothing can be predicted.
            args: The arguments it was fitted with; without them nothing can be scored.
            kwargs: Its keyword arguments.
        """
        from .files import load  # which needs xarray

        return load(path, model, args, kwargs)

    def export(
        self,
        path: str | PathLike[str],
        *args: Any,
        return_sites: Sequence[str] | None = (),
        num_draws: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the predictions as a program for ``torch.export.load``, which needs torch alone.

        ``torch.export.load(path).module()`` takes arguments of the same shapes and returns what
        :meth:`predict` does. ``load_state_dict(program.state_dict() | other.served_draws())`` gives
        it the draws of another posterior of the model, without compiling anything again.

        Args:
            path: The file, whose name ends in ``.pt2``.
            args: Arguments like those that are served.
            return_sites: The sites to predict; by default those that are not inferred.
            num_draws: How many of the draws; by default all.
            kwargs: Keyword arguments of the model.
        """
        from .serving import export  # which needs this module

        export(self, path, args, kwargs, return_sites, num_draws)

    def served_draws(self, num_draws: int | None = None) -> Samples:
        """Return the draws as the state of a program that :meth:`export` has written.

        Args:
            num_draws: How many, as many as were exported; by default all.
        """
        from .serving import served_draws  # which needs this module

        return served_draws(self, num_draws)

    # for the above

    def _model(self, purpose: str) -> Model:
        if self.model is None:
            raise ArgumentError(
                f"this posterior has no model, which it needs to {purpose}: pass it, as in "
                "Posterior.load(path, model, *data)"
            )
        return self.model

    def _first(self) -> Samples:
        return {name: x[0, 0] for name, x in self.latent_draws().items()}

    def _predictive(
        self,
        model: Model | None,
        return_sites: Sequence[str] | None,
        batch_size: int | None = None,
    ) -> Predictive:
        assert model is not None
        given = {n: x.flatten(0, 1) for n, x in self.latent_draws().items()}
        return Predictive(
            model,
            given,
            num_samples=self.num_draws,
            return_sites=return_sites,
            parallel=True,
            batch_size=batch_size,
            labels=self.sites.coords,
        )

    def _base_weights(self) -> Tensor:
        """Return the log weights that make draws those of the posterior, shape ``(draw,)``."""
        if self.log_weights is not None:
            return self.log_weights.flatten()
        ratio = self.statistics.get(RATIO)
        if ratio is not None and bool(ratio.isfinite().all()):
            return ratio.flatten().double()
        return torch.zeros(self.num_draws, dtype=torch.double)

    def _efficiency(self) -> float:
        return elpd.relative_efficiency(self.draws) if self.are_chains else 1.0


def _shape_of(draws: Mapping[str, Tensor]) -> tuple[int, int]:
    shapes = {name: tuple(x.shape[:2]) for name, x in draws.items()}
    if len(set(shapes.values())) != 1 or min(map(len, shapes.values())) < 2:
        raise ShapeError(
            "draws must be given by site with one shape (chain, draw, *site), got "
            f"{ {name: tuple(x.shape) for name, x in draws.items()} }; for a single chain pass "
            "x.unsqueeze(0)"
        )
    chains, length = next(iter(shapes.values()))
    if chains * length == 0:
        raise ShapeError(f"a posterior needs at least one draw, got (chain, draw) = {shapes}")
    return chains, length
