"""``TraceTMC_ELBO`` at the path where programs look for it."""

from ppl.infer.svi.elbo.trace_tmc_elbo import TraceTMC_ELBO as TraceTMC_ELBO
