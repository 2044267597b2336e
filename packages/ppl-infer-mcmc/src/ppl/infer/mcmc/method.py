"""``method="nuts"`` of :func:`ppl.infer.posterior`."""

from __future__ import annotations

from functools import partial
from typing import Any

from ppl.infer.mcmc.api import MCMC
from ppl.infer.mcmc.nuts import NUTS
from ppl.infer.results import Method, Posterior
from ppl.infer.results.methods import why_not_continuous
from ppl.infer.results.sites import Model


def _nuts(
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    num_samples: int = 1000,
    warmup_steps: int | None = None,
    num_chains: int = 4,
    disable_progbar: bool = True,
    **options: Any,
) -> Posterior:
    """Run NUTS; other options are those of its kernel."""
    mcmc = MCMC(
        NUTS(model, **options),
        num_samples,
        warmup_steps,
        num_chains=num_chains,
        disable_progbar=disable_progbar,
    )
    mcmc.run(*args, **kwargs)
    return mcmc.posterior()


nuts = Method(_nuts, partial(why_not_continuous, but_finite=True))
