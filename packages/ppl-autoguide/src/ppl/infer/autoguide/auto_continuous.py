"""Guides that are one distribution over one vector of all latent sites."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import ShapeError, UnsupportedModelError
from ppl.infer.initialization import (
    Strategy,
    init_to_generated,
    init_to_median,
    init_to_value,
)
from ppl.infer.layout import Layout
from ppl.nn import pyro_method
from ppl.poutine.messenger import block_messengers
from ppl.primitives import get_param_store, sample, subsample

from .constrained import beside_plates, sample_at, unconstrained_event_dim
from .guide import AutoGuide, CreatePlates, Site, full_size
from .levels import normal_quantiles


class AutoContinuous(AutoGuide):
    """Base class of guides with one distribution of all latent sites.

    On the unconstrained scale the sites lie one after another in one vector of ``latent_dim``
    components, so that a step of inference has a handful of tensors, however many sites there are
    (Kucukelbir et al. 2017, "Automatic differentiation variational inference", section 2.3).
    Derived classes declare their parameters in :meth:`_setup_latent`, and implement
    :meth:`get_base_dist` and :meth:`get_transform`, or :meth:`get_posterior`.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        create_plates: See :class:`AutoGuide`.

    Raises:
        UnsupportedModelError: In the first call, if the model has no latent site.
        ShapeError: In the first call, if loaded parameters are of another number of components.
    """

    _layout: Layout | None = None

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Strategy = init_to_median,
        *,
        create_plates: CreatePlates | None = None,
    ) -> None:
        super().__init__(model, init_loc_fn=init_loc_fn, create_plates=create_plates)

    @property
    def layout(self) -> Layout:
        """Where each latent site is in the vector: shapes are those of the unconstrained scale.

        Raises:
            SiteError: If the guide has not seen its model yet.
        """
        if self._layout is None:
            self._latent_sites()  # says what to do
        assert self._layout is not None
        return self._layout

    @property
    def latent_dim(self) -> int:
        """The number of components of the vector."""
        return self.layout.dim

    def component_names(self) -> list[str]:
        """Return the site of each component of the vector."""
        pairs = zip(self.layout.names, self.layout.sizes, strict=True)
        return [name for name, size in pairs for _ in range(size)]

    # what derived classes say

    def _setup_latent(self, loc: Tensor) -> None:
        """Declare the parameters, given the first value of the vector, shape ``(latent_dim,)``."""

    def get_base_dist(self) -> Any:
        """Return the distribution of the noise, a vector of ``latent_dim`` components.

        Raises:
            NotImplementedError: If the guide is no transform of noise.
        """
        raise NotImplementedError(f"{type(self).__name__} is no transform of a base distribution")

    def get_transform(self, *args: Any, **kwargs: Any) -> Any:
        """Return the transform from the noise to the vector.

        Raises:
            NotImplementedError: If the guide is no transform of noise.
        """
        raise NotImplementedError(f"{type(self).__name__} is no transform of a base distribution")

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the vector, with event shape ``(latent_dim,)``."""
        transform = self.get_transform(*args, **kwargs)
        return dist.TransformedDistribution(self.get_base_dist(), transform)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each component, where these are normal."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its quantiles are")

    # the program

    def _setup_sites(self, *args: Any, **kwargs: Any) -> None:
        sites = dict(self._latent_sites())
        if not sites:
            raise UnsupportedModelError(
                f"{type(self).__name__}: the model has no latent site; pass a guide that does "
                "nothing, or see that sites without data are not observed"
            )
        free = _free_values(sites)
        shapes, dtypes = (tuple(getattr(x, a) for x in free.values()) for a in ("shape", "dtype"))
        self._layout = Layout(tuple(sites), shapes, dtypes)
        self._check_loaded()
        self._setup_latent(self._layout.pack(free))

    def _vector_of(self, trace: poutine.Trace) -> Tensor:
        """Return the vector at the values of a run of the model."""
        sites = trace.nodes
        return self.layout.pack(_free_values({name: sites[name] for name in self.layout.names}))

    def _check_loaded(self) -> None:
        """Refuse parameters in the store, or a loaded state, of another number of components."""
        stored = dict(get_param_store().named_parameters())
        loaded = self._held.get("loc", stored.get(f"{self._pyro_name}.loc"))
        if loaded is not None and loaded.shape[-1:] != (self.latent_dim,):
            raise ShapeError(
                f"{self._pyro_name}: the parameters that were loaded are for {loaded.shape[-1]} "
                f"components, but with these arguments the model has {self.latent_dim}, of the "
                f"latent sites {list(self.layout.names)}; call the guide first with the arguments "
                "that it was fitted with, or call clear_param_store() to start afresh"
            )

    def sample_latent(self, *args: Any, **kwargs: Any) -> Tensor:
        """Sample the vector of all latent sites, shape ``(latent_dim,)``, as an auxiliary site."""
        posterior = self.get_posterior(*args, **kwargs)
        latent: Tensor = sample(
            f"_{self._pyro_name}_latent", posterior, infer={"is_auxiliary": True}
        )
        return latent

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample the guide and return the constrained values of the latent sites by name."""
        self._begin(args, kwargs)
        latent = self.sample_latent(*args, **kwargs)
        values = {}
        for name, site, free in self._unpack(latent):
            with self._inside(site["cond_indep_stack"]):
                free = subsample(free, unconstrained_event_dim(site))
                values[name] = sample_at(name, site, free)
        return values

    def _unpack(self, latent: Tensor) -> Iterator[tuple[str, Site, Tensor]]:
        """Iterate over sites and their parts of a vector ``(*plates, latent_dim)``."""
        parts = self.layout.unpack(latent)
        for (name, site), shape in zip(self._latent_sites(), self.layout.shapes, strict=True):
            yield name, site, parts[name].reshape(beside_plates(latent.shape[:-1], site) + shape)

    # what it says

    def init_strategy(self, *args: Any, **kwargs: Any) -> Strategy:
        """Return a strategy that starts each chain of MCMC at a draw of the guide of its own.

        Args:
            args: The arguments of the model.
            kwargs: The same by name.

        Example:
            >>> from ppl.infer.autoguide import AutoDiagonalNormal
            >>> guide = AutoDiagonalNormal(lambda: sample("x", dist.LogNormal(0.0, 1.0)))
            >>> guide.setup()
            >>> strategy = guide.init_strategy()  # NUTS(model, init_strategy=strategy)
            >>> strategy({"name": "x", "fn": dist.LogNormal(0.0, 1.0)}).shape
            torch.Size([])
        """
        self._latent_sites()
        start = functools.partial(self._start, args, kwargs)
        strategy: Strategy = init_to_generated(generate=functools.partial(_at_values, start))
        return strategy

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
        """Return one draw of all sites."""
        values: dict[str, Tensor] = self(*args, **kwargs)
        return values

    @torch.no_grad()
    def inverse_mass_matrix(self, is_dense: bool = True) -> Tensor:
        """Return the covariance of the guide, in the order that HMC and NUTS have: by name.

        For ``NUTS(model, full_mass=True, inverse_mass_matrix=guide.inverse_mass_matrix())``.

        Args:
            is_dense: Whether to return ``(latent_dim, latent_dim)``, or else the variances,
                ``(latent_dim,)``.

        Raises:
            NotImplementedError: If the family has no covariance in closed form.
        """
        order = self.layout.places(sorted(self.layout.names))
        self._read_store()
        covariance = self._covariance()[order][:, order]
        return covariance if is_dense else covariance.diagonal()

    def _covariance(self) -> Tensor:
        posterior = self.get_posterior()
        matrix = getattr(posterior, "covariance_matrix", None)
        covariance: Tensor = posterior.variance.diag() if matrix is None else matrix
        return covariance

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of each latent site, on the constrained scale."""
        return {name: draws[0] for name, draws in self.quantiles([0.5], *args, **kwargs).items()}

    @torch.no_grad()
    def quantiles(
        self, quantiles: Sequence[float] | Tensor, *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Return the quantiles of each latent site, of shape ``(quantile, *site)``.

        They are images of the quantiles on the unconstrained scale, so they hold for sites whose
        transform is monotone in each component (all but simplices, orderings and matrices).

        Args:
            quantiles: Probabilities between 0 and 1.
            args: The arguments of the model.
            kwargs: The same by name.
        """
        self._latent_sites()
        self._read_store()
        return self._constrain(self._vector_quantiles(quantiles, args, kwargs))

    def _vector_quantiles(
        self,
        quantiles: Sequence[float] | Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        """Return the quantiles of each component, shape ``(quantile, latent_dim)``."""
        loc, scale = self._loc_scale(*args, **kwargs)
        return loc + scale * normal_quantiles(quantiles, loc).unsqueeze(-1)

    def _constrain(self, vectors: Tensor) -> dict[str, Tensor]:
        """Return the sites of vectors, shape ``(*batch, latent_dim)``, as ``(*batch, *site)``."""
        parts = self.layout.unpack(vectors)
        return {
            name: biject_to(site["fn"].support)(parts[name]) for name, site in self._latent_sites()
        }


def _at_values(start: Callable[[], dict[str, Tensor]]) -> Strategy:
    """Return a strategy with the values that a program draws, unseen by handlers around it."""
    with torch.no_grad(), block_messengers(lambda handler: True):
        values = start()
    strategy: Strategy = init_to_value(values=values)
    return strategy


def _free_values(sites: dict[str, Site]) -> dict[str, Tensor]:
    """Return the values of sites on the unconstrained scale, for all elements of plates."""
    return {
        name: full_size(
            biject_to(site["fn"].support).inv(site["value"].detach()),
            site,
            unconstrained_event_dim(site),
        )
        for name, site in sites.items()
    }
