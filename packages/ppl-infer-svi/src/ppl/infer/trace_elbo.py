"""``Trace_ELBO`` and its recorded kin at the path where programs look for them."""

from ppl.infer.svi.elbo.recorded import JitTrace_ELBO as JitTrace_ELBO
from ppl.infer.svi.elbo.trace_elbo import Trace_ELBO as Trace_ELBO
