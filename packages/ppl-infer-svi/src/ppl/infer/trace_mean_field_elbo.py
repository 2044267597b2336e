"""``TraceMeanField_ELBO`` at the path where programs look for it."""

from ppl.infer.svi.elbo.trace_mean_field_elbo import TraceMeanField_ELBO as TraceMeanField_ELBO
