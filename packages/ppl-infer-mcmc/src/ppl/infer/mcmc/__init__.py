"""Hamiltonian Monte Carlo and the No-U-Turn sampler: many chains as one batch of state machines."""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .adaptation.arrowhead_mass import ArrowheadMassMatrix as ArrowheadMassMatrix
from .adaptation.block_mass import BlockMassMatrix as BlockMassMatrix
from .api import MCMC as MCMC
from .batch_kernel import BatchKernel as BatchKernel
from .discrete_gibbs import DiscreteGibbs as DiscreteGibbs
from .gibbs import Gibbs as Gibbs
from .gradient_kernel import GradientKernel as GradientKernel
from .hmc import HMC as HMC
from .hmcecs import HMCECS as HMCECS
from .mcmc_kernel import MCMCKernel as MCMCKernel
from .nuts import NUTS as NUTS
from .random_walk import RandomWalkKernel as RandomWalkKernel
from .streaming import StreamingMCMC as StreamingMCMC
from .util import initialize_model as initialize_model

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
