"""Estimators of the evidence lower bound, one file each."""

from .recorded import JitTrace_ELBO as JitTrace_ELBO
from .recorded import JitTraceEnum_ELBO as JitTraceEnum_ELBO
from .recorded import JitTraceGraph_ELBO as JitTraceGraph_ELBO
from .recorded import JitTraceMeanField_ELBO as JitTraceMeanField_ELBO
from .renyi_elbo import RenyiELBO as RenyiELBO
from .reweighted_wake_sleep import ReweightedWakeSleep as ReweightedWakeSleep
from .trace_elbo import Trace_ELBO as Trace_ELBO
from .trace_enum_elbo import TraceEnum_ELBO as TraceEnum_ELBO
from .trace_enum_sample_elbo import TraceEnumSample_ELBO as TraceEnumSample_ELBO
from .trace_graph_elbo import TraceGraph_ELBO as TraceGraph_ELBO
from .trace_mean_field_elbo import TraceMeanField_ELBO as TraceMeanField_ELBO
from .trace_mmd import Trace_MMD as Trace_MMD
from .trace_tail_adaptive_elbo import TraceTailAdaptive_ELBO as TraceTailAdaptive_ELBO
from .trace_tmc_elbo import TraceTMC_ELBO as TraceTMC_ELBO
