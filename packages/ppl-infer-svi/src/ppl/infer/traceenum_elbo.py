"""``TraceEnum_ELBO`` at the path where programs look for it."""

from ppl.infer.backward_sampling import BackwardSampleMessenger as BackwardSampleMessenger
from ppl.infer.svi.elbo.trace_enum_elbo import TraceEnum_ELBO as TraceEnum_ELBO
