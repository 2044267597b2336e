"""Rings of packed tensors: the arithmetic that a contraction is done in.

A ring says how terms are multiplied, summed over a variable, and multiplied along a plate. Ordinary
arithmetic gives partition functions, logarithms keep their range, maxima find the best assignment.
Rings that choose remember what they summed out, so that values can be assigned afterwards.
"""

from __future__ import annotations

from .arithmetic import LinearRing as LinearRing
from .arithmetic import LogRing as LogRing
from .choices import ChoiceRing as ChoiceRing
from .choices import MapRing as MapRing
from .choices import SampleRing as SampleRing
from .ring import Cache as Cache
from .ring import Ring as Ring


class MarginalRing(LogRing):
    """The ring of the backend ``torch_marginal``."""


BACKEND_TO_RING: dict[str, type[Ring]] = {
    "torch": LinearRing,
    "ppl.ops.einsum.torch_log": LogRing,
    "ppl.ops.einsum.torch_map": MapRing,
    "ppl.ops.einsum.torch_marginal": MarginalRing,
    "ppl.ops.einsum.torch_sample": SampleRing,
}
