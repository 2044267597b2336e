"""Stochastic variational inference."""

from .early_stopping import EarlyStopping as EarlyStopping
from .elbo.recorded import JitTrace_ELBO as JitTrace_ELBO
from .elbo.recorded import JitTraceGraph_ELBO as JitTraceGraph_ELBO
from .elbo.recorded import JitTraceMeanField_ELBO as JitTraceMeanField_ELBO
from .elbo.renyi_elbo import RenyiELBO as RenyiELBO
from .elbo.trace_elbo import Trace_ELBO as Trace_ELBO
from .elbo.trace_graph_elbo import TraceGraph_ELBO as TraceGraph_ELBO
from .elbo.trace_mean_field_elbo import TraceMeanField_ELBO as TraceMeanField_ELBO
from .elbo.trace_mmd import Trace_MMD as Trace_MMD
from .elbo.trace_tail_adaptive_elbo import TraceTailAdaptive_ELBO as TraceTailAdaptive_ELBO
from .energy_distance import EnergyDistance as EnergyDistance
from .fit_result import FitResult as FitResult
from .svgd import SVGD as SVGD
from .svgd import IMQSteinKernel as IMQSteinKernel
from .svgd import RBFSteinKernel as RBFSteinKernel
from .svi import SVI as SVI
