"""The loss of a model and a guide as a module of torch, for training loops that expect one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.poutine.program_errors import require_program


class ELBOModule(torch.nn.Module):
    """A module whose call is the differentiable loss of an estimator, ``-ELBO`` in nats.

    Its parameters are those of model and guide where they are modules, and those that ``param``
    statements made in the last call. An automatic guide has none before its first call.

    Args:
        model: The model.
        guide: The guide.
        elbo: The estimator.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer import Trace_ELBO
        >>> from ppl.primitives import clear_param_store, param, sample
        >>> clear_param_store()
        >>> def model():
        ...     sample("z", dist.Normal(3.0, 1.0))
        >>> def guide():
        ...     sample("z", dist.Normal(param("loc", torch.tensor(3.0)), 1.0))
        >>> loss = Trace_ELBO()(model, guide)
        >>> abs(loss().item()), len(list(loss.parameters()))
        (0.0, 1)
    """

    def __init__(self, model: Callable[..., Any], guide: Callable[..., Any], elbo: Any) -> None:
        require_program("model", model)
        require_program("guide", guide)
        super().__init__()
        self.model = model
        self.guide = guide
        self.elbo = elbo
        self._leaves: dict[str, Tensor] = {}  # of param statements, by name

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss, a scalar, for these arguments of model and guide."""
        with poutine.trace(param_only=True) as seen:
            loss: Tensor = self.elbo.differentiable_loss(self.model, self.guide, *args, **kwargs)
        values = {name: seen.trace.nodes[name]["value"] for name in seen.trace.param_nodes}
        self._leaves = {n: x.unconstrained() for n, x in values.items() if _has_leaf(x)}
        return loss

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Iterate over the parameters of the modules, then over those of ``param`` statements."""
        known = set()
        for name, parameter in super().named_parameters(prefix, recurse, remove_duplicate):
            known.add(parameter)
            yield name, parameter
        for name, leaf in self._leaves.items():
            if leaf not in known:
                yield f"{prefix}.{name}" if prefix else name, leaf

    def extra_repr(self) -> str:
        """Say what is trained, where it is no module and so not shown below."""
        parts = {"model": self.model, "guide": self.guide, "elbo": self.elbo}
        shown = [f"{k}={v!r}" for k, v in parts.items() if not isinstance(v, torch.nn.Module)]
        return ", ".join(shown)


def _has_leaf(value: Any) -> bool:
    return hasattr(value, "unconstrained")
