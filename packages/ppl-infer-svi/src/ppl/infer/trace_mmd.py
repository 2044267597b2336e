"""``Trace_MMD`` at the path where programs look for it."""

from ppl.infer.svi.elbo.trace_mmd import Trace_MMD as Trace_MMD
