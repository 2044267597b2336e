"""Posteriors made of traces, their marginals and predictions: the place they are imported from."""

from .marginals import EmpiricalMarginal as EmpiricalMarginal
from .marginals import Marginals as Marginals
from .trace_posterior import TracePosterior as TracePosterior
from .trace_predictive import TracePredictive as TracePredictive
