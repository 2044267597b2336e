"""A guide that is written by hand, as a part of a list of guides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ppl.errors import ArgumentTypeError

from .guide import AutoGuide


class AutoCallable(AutoGuide):
    """A function that samples some sites of a model, with the face of an automatic guide.

    Args:
        model: The model.
        guide: The function, of the model's arguments; it returns a dictionary of the values of its
            sites, or None.
        median: A function of the same arguments that returns the medians of its sites.

    Raises:
        SiteError: If the model is a class.
        ArgumentTypeError: In a call, if the guide returns something else.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("a", dist.Normal(0.0, 1.0))
        >>> guide = AutoCallable(model, lambda: {"a": sample("a", dist.Uniform(1.0, 2.0))})
        >>> bool(guide()["a"] > 1)
        True
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        median: Callable[..., dict[str, Tensor]] | None = None,
    ) -> None:
        super().__init__(model)
        self._guide = guide
        self._median = median

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Take a name; the parameters are those that the function makes when it runs."""
        self._claim_name()

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Run the function and return the values of its sites by name."""
        self._claim_name()
        values = self._guide(*args, **kwargs)
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise ArgumentTypeError(
                f"the function of AutoCallable must return a dictionary of values by site, or "
                f"None, got {values!r}"
            )
        return values

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the medians; none if the guide was made without a function for them."""
        return {} if self._median is None else self._median(*args, **kwargs)
