"""Backend of :class:`~ppl.ops.rings.MarginalRing`; sums are those of ``torch_log``."""

from .torch_log import einsum as einsum
from .torch_log import tensordot as tensordot
from .torch_log import transpose as transpose
