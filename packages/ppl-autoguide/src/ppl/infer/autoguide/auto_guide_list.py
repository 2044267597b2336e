"""A guide in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ppl.errors import DuplicateSiteError
from ppl.nn import PyroModuleList

from .auto_callable import AutoCallable
from .guide import AutoGuide, Site

if TYPE_CHECKING:
    from typing_extensions import Self


class AutoGuideList(AutoGuide, PyroModuleList):
    """A guide whose parts are guides of parts of a model, run one after another.

    Args:
        model: The model.
        create_plates: See :class:`AutoGuide`; for all parts. Plates are shared by the parts, and
            so are their subsamples.

    Raises:
        SiteError: If the model is a class.

    Example:
        >>> import ppl.distributions as dist
        >>> import ppl.poutine as poutine
        >>> from ppl.infer.autoguide import AutoDelta, AutoNormal
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("a", dist.Normal(0.0, 1.0))
        ...     sample("b", dist.Normal(0.0, 1.0))
        >>> guide = AutoGuideList(model)
        >>> _ = guide.append(AutoNormal(poutine.block(model, expose=["a"])))
        >>> _ = guide.append(AutoDelta(poutine.block(model, hide=["a"])))
        >>> sorted(guide())
        ['a', 'b']
    """

    def __init__(
        self, model: Callable[..., Any], *, create_plates: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(model, create_plates=create_plates)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self))})"

    def append(self, part: nn.Module | Callable[..., Any]) -> Self:
        """Add a guide of some sites of the model, and return this guide.

        Args:
            part: A guide, made from a part of the model by ``poutine.block``; or a function, which
                is wrapped in :class:`AutoCallable`.
        """
        if not isinstance(part, AutoGuide):
            part = AutoCallable(self.model, part)
        super().append(part)
        return self

    def add(self, part: nn.Module | Callable[..., Any]) -> Self:
        """Deprecated alias of :meth:`append`."""
        message = "AutoGuideList.add() is deprecated; call .append() instead"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.append(part)

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Make the parameters of all parts, as the first call does."""
        self._claim_name()
        for part in self._parts():
            part.setup(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample all parts and return the values of their sites by name.

        Raises:
            DuplicateSiteError: If a site is in two parts.
        """
        self._claim_name()
        plates = self._given_plates(args, kwargs) if self._shared is None else self._shared
        self.plates = plates
        values: dict[str, Tensor] = {}
        for part in self._parts():
            part._shared = plates
            try:
                self._add(values, part(*args, **kwargs))
            finally:
                part._shared = None
        return values

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the medians of the sites of all parts."""
        self._claim_name()
        values: dict[str, Tensor] = {}
        for part in self._parts():
            self._add(values, part.median(*args, **kwargs))
        return values

    def quantiles(
        self, quantiles: Sequence[float] | Tensor, *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Return the quantiles of the sites of all parts that have quantiles.

        Args:
            quantiles: Probabilities between 0 and 1.
            args: The arguments of the model.
            kwargs: The same by name.
        """
        self._claim_name()
        values: dict[str, Tensor] = {}
        for part in self._parts():
            if hasattr(part, "quantiles"):
                self._add(values, part.quantiles(quantiles, *args, **kwargs))
        return values

    def _parts(self) -> Iterator[Any]:
        return iter(self)

    def _latent_sites(self) -> Iterator[tuple[str, Site]]:
        for part in self._parts():
            if not isinstance(part, AutoCallable):
                yield from part._latent_sites()

    def _add(self, values: dict[str, Tensor], more: dict[str, Tensor]) -> None:
        twice = sorted(set(values) & set(more))
        if twice:
            raise DuplicateSiteError(
                f"sites {twice} are in two parts of {type(self).__name__}; make each part of the "
                "model with poutine.block(model, expose=[...])"
            )
        values.update(more)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Leave loading to the parts."""
        PyroModuleList._load_from_state_dict(self, state_dict, prefix, *args)
