"""``TraceTailAdaptive_ELBO`` at a path where programs look for it."""

from ppl.infer.svi.elbo.trace_tail_adaptive_elbo import (
    TraceTailAdaptive_ELBO as TraceTailAdaptive_ELBO,
)
