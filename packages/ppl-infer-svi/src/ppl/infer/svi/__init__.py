"""Stochastic variational inference."""

from .elbo.trace_elbo import Trace_ELBO as Trace_ELBO
from .svi import SVI as SVI
