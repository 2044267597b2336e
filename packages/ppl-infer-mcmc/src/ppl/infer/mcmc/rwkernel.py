"""``RandomWalkKernel`` at the path where programs look for it."""

from ppl.infer.mcmc.random_walk import RandomWalkKernel as RandomWalkKernel
