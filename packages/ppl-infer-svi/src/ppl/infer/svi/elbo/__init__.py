"""Estimators of the evidence lower bound, one file each."""

from .trace_elbo import Trace_ELBO as Trace_ELBO
