"""``TraceGraph_ELBO`` at the path where programs look for it."""

from ppl.infer.svi.elbo.trace_graph_elbo import TraceGraph_ELBO as TraceGraph_ELBO
