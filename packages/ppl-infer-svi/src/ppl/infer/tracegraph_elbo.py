"""``TraceGraph_ELBO`` and its recorded kin at the path where programs look for them."""

from ppl.infer.svi.elbo.recorded import JitTraceGraph_ELBO as JitTraceGraph_ELBO
from ppl.infer.svi.elbo.trace_graph_elbo import TraceGraph_ELBO as TraceGraph_ELBO
