"""What warm-up learns: the step size by dual averaging, the metric in growing windows."""

from ppl.infer.mcmc.adaptation.arrowhead_mass import ArrowheadMassMatrix as ArrowheadMassMatrix
from ppl.infer.mcmc.adaptation.block_mass import BlockMassMatrix as BlockMassMatrix
