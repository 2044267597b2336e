"""Estimators of the evidence lower bound, one file each."""

from .recorded import JitTrace_ELBO as JitTrace_ELBO
from .recorded import JitTraceGraph_ELBO as JitTraceGraph_ELBO
from .recorded import JitTraceMeanField_ELBO as JitTraceMeanField_ELBO
from .renyi_elbo import RenyiELBO as RenyiELBO
from .trace_elbo import Trace_ELBO as Trace_ELBO
from .trace_graph_elbo import TraceGraph_ELBO as TraceGraph_ELBO
from .trace_mean_field_elbo import TraceMeanField_ELBO as TraceMeanField_ELBO
from .trace_mmd import Trace_MMD as Trace_MMD
from .trace_tail_adaptive_elbo import TraceTailAdaptive_ELBO as TraceTailAdaptive_ELBO
