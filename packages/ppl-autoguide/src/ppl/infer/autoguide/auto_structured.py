"""A guide in which sites depend on each other as they do in the posterior."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.distributions import constraints
from ppl.errors import ArgumentError, MissingSiteError, ShapeError
from ppl.infer.arguments import nearest_site
from ppl.infer.initialization import InitMessenger, Strategy, init_to_feasible, init_to_mean
from ppl.nn import PyroModule, PyroParam, pyro_method
from ppl.primitives import sample, subsample

from .attributes import deep_getattr, deep_setattr
from .auto_diagonal_normal import standard_normal
from .constrained import beside_plates, delta_at, unconstrained_event_dim
from .dependencies import ancestors, factors
from .first_scale import positive_scale
from .guide import AutoGuide, CreatePlates, Site, full_size

Conditional: TypeAlias = "str | Callable[[], Tensor]"
Dependency: TypeAlias = "str | Callable[[Tensor], Tensor]"

_CONDITIONALS = ("delta", "normal", "mvn")


class AutoStructured(AutoGuide):
    """A guide whose sites have conditional distributions, given those before them.

    On the unconstrained scale a site is a draw of its conditional, plus functions of the values of
    the sites before it that it depends on (Hoffman and Blei 2015, "Structured stochastic
    variational inference"). Its noise is a site ``x_aux``, so that
    :class:`~ppl.infer.reparam.StructuredReparam` can sample in the coordinates of a trained guide.

    Args:
        model: The model.
        conditionals: ``"delta"``, a point; ``"normal"``, with a diagonal covariance; ``"mvn"``,
            with any covariance; or a dictionary that says one of these for each site. A function
            instead of a string samples an auxiliary site and returns its value, a vector.
        dependencies: ``"linear"``: every site depends linearly on those that the posterior says it
            depends on. Or a dictionary from sites to dictionaries from sites before them to
            ``"linear"`` or a function from one vector to another, which may be a torch module.
        init_loc_fn: A strategy for the first locations.
        init_scale: The first scale of each unconstrained component.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.
        ArgumentError: If a conditional or a dependency is of another kind, or a site depends on
            one that does not come before it.
        MissingSiteError: In the first call, if a site has no conditional, or is unknown.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     a = sample("a", dist.Normal(0.0, 1.0))
        ...     b = sample("b", dist.Normal(a, torch.ones(2)).to_event(1))
        >>> guide = AutoStructured(model, conditionals={"a": "normal", "b": "mvn"})
        >>> sorted(guide()), guide.dependencies
        (['a', 'b'], {'b': {'a': 'linear'}})
    """

    _site_prefix = "locs."

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        conditionals: Conditional | Mapping[str, Conditional] = "mvn",
        dependencies: str | Mapping[str, Mapping[str, Dependency]] = "linear",
        init_loc_fn: Strategy = init_to_feasible,
        init_scale: float = 0.1,
        create_plates: CreatePlates | None = None,
    ) -> None:
        self._init_scale = positive_scale(init_scale)
        super().__init__(model, init_loc_fn=init_loc_fn, create_plates=create_plates)
        _check(conditionals, dependencies)
        self.conditionals: Any = conditionals
        self.dependencies: Any = dependencies
        self.locs: PyroModule = PyroModule()
        self.scales: PyroModule = PyroModule()
        self.scale_trils: PyroModule = PyroModule()
        self.conds: PyroModule = PyroModule()
        self.deps: PyroModule = PyroModule()

    # setting up

    def _setup_sites(self, *args: Any, **kwargs: Any) -> None:
        names = [name for name, _ in self._latent_sites()]
        if isinstance(self.conditionals, Mapping):
            _check_names(names, self.conditionals, "a conditional")
        else:
            self.conditionals = dict.fromkeys(names, self.conditionals)
        if isinstance(self.dependencies, Mapping):
            _check_order(names, self.dependencies)
        else:
            at_start = poutine.replay(self.model, trace=self.prototype_trace)
            found = ancestors(factors(at_start, names, *args, **kwargs), names)
            self.dependencies = {
                name: dict.fromkeys(before, self.dependencies)
                for name, before in found.items()
                if before
            }
        self._shapes: dict[str, torch.Size] = {}
        super()._setup_sites()

    def _setup_site(self, name: str, site: Site) -> None:
        transform = biject_to(site["fn"].support)
        event_dim = unconstrained_event_dim(site)
        loc = full_size(transform.inv(site["value"].detach()), site, event_dim)
        self._shapes[name] = loc.shape
        self._setup_conditional(name, loc.flatten())
        for other, dependency in self.dependencies.get(name, {}).items():
            if dependency == "linear":
                dependency = _zero_map(self._shapes[other].numel(), loc)
            deep_setattr(self.deps, _path(name, other), dependency)

    def _setup_conditional(self, name: str, loc: Tensor) -> None:
        kind = self.conditionals[name]
        if callable(kind):
            deep_setattr(self.conds, name, kind)
            return
        deep_setattr(self.locs, name, PyroParam(loc))
        if kind != "delta":
            scale = torch.full_like(loc, self._init_scale)
            deep_setattr(self.scales, name, PyroParam(scale, constraints.softplus_positive))
        if kind == "mvn":
            eye = torch.eye(len(loc), dtype=loc.dtype, device=loc.device)
            deep_setattr(self.scale_trils, name, PyroParam(eye, constraints.unit_lower_cholesky))

    def _leave_out_unknown(self, held: Any) -> None:
        if not any(map(callable, _values(self.conditionals))):  # their sites have no ``locs``
            super()._leave_out_unknown(held)

    # the program

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample the guide and return the constrained values of the latent sites by name."""
        self._begin(args, kwargs)
        draws = list(self._draws())
        values = {}
        for name, site, free, log_density in draws:
            with self._inside(site["cond_indep_stack"]):
                free = subsample(free, unconstrained_event_dim(site))
                values[name] = sample(name, delta_at(site, free, log_density))
        return values

    @pyro_method
    def get_deltas(self, save_params: list[str] | None = None) -> dict[str, Delta]:
        """Sample the noise and return a point mass for each latent site, with its log density.

        Args:
            save_params: The names of the sites to return; all if None.
        """
        return {
            name: delta_at(site, free, log_density)
            for name, site, free, log_density in self._draws()
            if save_params is None or name in save_params
        }

    def _draws(self) -> Iterator[tuple[str, Site, Tensor, Tensor | float]]:
        """Iterate over sites, unconstrained values and log densities given the noise.

        A log density is shared evenly by the elements of the plates around a site, as a subsample
        of these is to have its share.
        """
        vectors: dict[str, Tensor] = {}
        for name, site in self._latent_sites():
            shape = self._shapes[name]
            vector, log_scale = self._draw(name)
            _check_size(name, "conditional", vector, shape.numel())
            for other in self.dependencies.get(name, {}):
                shift = deep_getattr(self.deps, _path(name, other))(vectors[other].to(vector))
                _check_size(name, f"dependency on {other!r}", shift, shape.numel())
                vector = vector + shift
            vectors[name] = vector
            free = vector.reshape(beside_plates(vector.shape[:-1], site) + shape)
            yield name, site, free, -log_scale / max(1, site["fn"].batch_shape.numel())

    def _draw(self, name: str) -> tuple[Tensor, Tensor | float]:
        """Return a draw of a conditional, as a vector, and its log derivative by the noise."""
        kind = self.conditionals[name]
        if callable(kind):
            return deep_getattr(self.conds, name)(), 0.0
        loc: Tensor = deep_getattr(self.locs, name)
        if kind == "delta":
            return loc, 0.0
        noise: Tensor = sample(f"{name}_aux", standard_normal(loc), infer={"is_auxiliary": True})
        scale: Tensor = deep_getattr(self.scales, name)
        log_scale = scale.log().sum()
        if kind == "mvn":
            tril: Tensor = deep_getattr(self.scale_trils, name)
            noise = (tril @ noise.unsqueeze(-1)).squeeze(-1)
        return loc + scale * noise, log_scale

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the values without noise: the medians of sites that depend linearly on others.

        A conditional that is a function takes the means of its sites.
        """
        self._latent_sites()
        self._read_store()
        with poutine.block(), InitMessenger(init_to_mean):
            return {
                name: biject_to(site["fn"].support)(free) for name, site, free, _ in self._draws()
            }


def _path(name: str, other: str) -> str:
    return f"{name}.{other.replace('.', '__')}"


def _zero_map(in_features: int, out: Tensor) -> torch.nn.Linear:
    """A linear map to vectors as large as ``out``, zero at first."""
    linear = torch.nn.Linear(
        in_features, out.numel(), bias=False, dtype=out.dtype, device=out.device
    )
    torch.nn.init.zeros_(linear.weight)
    return linear


def _check_size(name: str, what: str, vector: Tensor, size: int) -> None:
    if vector.shape[-1:] not in {(size,), (1,)}:
        raise ShapeError(
            f"site {name!r}: its {what} has shape {tuple(vector.shape)}, but must return a vector "
            f"of {size} components"
        )


def _values(conditionals: Any) -> list[Any]:
    return list(conditionals.values()) if isinstance(conditionals, Mapping) else [conditionals]


def _check(conditionals: Any, dependencies: Any) -> None:
    for kind in _values(conditionals):
        if kind not in _CONDITIONALS and not callable(kind):
            raise ArgumentError(
                f"conditionals must be one of {_CONDITIONALS} or functions, got {kind!r}"
            )
    given = [dependencies]
    if isinstance(dependencies, Mapping):
        given = [kind for before in dependencies.values() for kind in before.values()]
    for kind in given:
        if kind != "linear" and not callable(kind):
            raise ArgumentError(f'dependencies must be "linear" or functions, got {kind!r}')


def _check_names(names: list[str], given: Mapping[str, Any], what: str) -> None:
    for name in given:
        if name not in names:
            hint = nearest_site(name, names)
            raise MissingSiteError(
                f"{what} is given for {name!r}, which is no latent site of the model; it has "
                f"{names}{hint}"
            )
    missing = [name for name in names if name not in given]
    if missing and what == "a conditional":
        raise MissingSiteError(
            f"the sites {missing} have no conditional; add one for each: one of {_CONDITIONALS}, "
            "or a function"
        )


def _check_order(names: list[str], dependencies: Mapping[str, Mapping[str, Any]]) -> None:
    _check_names(names, dependencies, "a dependency")
    for name, before in dependencies.items():
        _check_names(names, before, "a dependency")
        late = [other for other in before if names.index(other) >= names.index(name)]
        if late:
            raise ArgumentError(
                f"site {name!r} is to depend on {late}, but the order of the model is {names}; "
                "a site can depend on those before it"
            )
