"""``Trace_ELBO`` at the path where programs look for it."""

from ppl.infer.svi.elbo.trace_elbo import Trace_ELBO as Trace_ELBO
