"""Functional stochastic variational inference at the path where programs look for it."""

from ppl.infer.svi.functional import SVI as SVI
from ppl.infer.svi.functional import SVIState as SVIState
from ppl.infer.svi.functional import elbo as elbo
