"""What warm-up learns the metric from, by name."""

from __future__ import annotations

from typing import Literal, get_args

from ppl.errors import ArgumentError
from ppl.infer.mcmc.arguments import one_of
from ppl.infer.mcmc.target.blocks import FullMass

Adapt = Literal["diag", "low_rank", "dense", "stan"]


def resolved(adapt: Adapt | None, full_mass: FullMass) -> tuple[Adapt, FullMass]:
    """Return how the metric is learnt, and what of it is dense.

    Args:
        adapt: The name; None stands for "diag", and for "dense" where `full_mass` is given.
        full_mass: Whether the metric is dense, or the blocks of sites in which it is.

    Raises:
        ArgumentError: If the name is another one, or `full_mass` contradicts it.

    >>> resolved(None, False), resolved(None, True), resolved("low_rank", False)
    (('diag', False), ('dense', True), ('low_rank', True))
    """
    if adapt is None:
        adapt = "dense" if full_mass else "diag"
    one_of("adapt", adapt, get_args(Adapt))
    if full_mass and adapt in ("diag", "low_rank"):
        raise ArgumentError(
            f"adapt={adapt!r} learns a metric that is not dense, but full_mass={full_mass!r}: give "
            "one of them"
        )
    return adapt, full_mass or adapt in ("dense", "low_rank")
