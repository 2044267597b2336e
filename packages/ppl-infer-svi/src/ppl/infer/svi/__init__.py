"""Stochastic variational inference."""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .dadvi import DADVI as DADVI
from .dadvi import DADVIPosterior as DADVIPosterior
from .early_stopping import EarlyStopping as EarlyStopping
from .elbo.recorded import JitTrace_ELBO as JitTrace_ELBO
from .elbo.recorded import JitTraceEnum_ELBO as JitTraceEnum_ELBO
from .elbo.recorded import JitTraceGraph_ELBO as JitTraceGraph_ELBO
from .elbo.recorded import JitTraceMeanField_ELBO as JitTraceMeanField_ELBO
from .elbo.renyi_elbo import RenyiELBO as RenyiELBO
from .elbo.reweighted_wake_sleep import ReweightedWakeSleep as ReweightedWakeSleep
from .elbo.trace_elbo import Trace_ELBO as Trace_ELBO
from .elbo.trace_enum_elbo import TraceEnum_ELBO as TraceEnum_ELBO
from .elbo.trace_enum_sample_elbo import TraceEnumSample_ELBO as TraceEnumSample_ELBO
from .elbo.trace_graph_elbo import TraceGraph_ELBO as TraceGraph_ELBO
from .elbo.trace_mean_field_elbo import TraceMeanField_ELBO as TraceMeanField_ELBO
from .elbo.trace_mmd import Trace_MMD as Trace_MMD
from .elbo.trace_tail_adaptive_elbo import TraceTailAdaptive_ELBO as TraceTailAdaptive_ELBO
from .elbo.trace_tmc_elbo import TraceTMC_ELBO as TraceTMC_ELBO
from .energy_distance import EnergyDistance as EnergyDistance
from .fit_result import FitResult as FitResult
from .svgd import SVGD as SVGD
from .svgd import IMQSteinKernel as IMQSteinKernel
from .svgd import RBFSteinKernel as RBFSteinKernel
from .svi import SVI as SVI

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
