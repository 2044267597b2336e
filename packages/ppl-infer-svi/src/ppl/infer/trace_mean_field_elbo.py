"""``TraceMeanField_ELBO`` and its recorded kin at the path where programs look for them."""

from ppl.infer.svi.elbo.recorded import JitTraceMeanField_ELBO as JitTraceMeanField_ELBO
from ppl.infer.svi.elbo.trace_mean_field_elbo import TraceMeanField_ELBO as TraceMeanField_ELBO
