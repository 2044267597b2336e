"""Hamiltonian Monte Carlo and the No-U-Turn sampler: many chains as one batch of state machines."""

from .api import MCMC as MCMC
from .hmc import HMC as HMC
from .mcmc_kernel import MCMCKernel as MCMCKernel
from .nuts import NUTS as NUTS
from .util import initialize_model as initialize_model
