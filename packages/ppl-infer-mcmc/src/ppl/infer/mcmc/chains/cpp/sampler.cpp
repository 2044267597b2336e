// The twins of our own transitions: see hmc_transition.py and nuts_transition.py.
#include "sampler.hpp"

EXPORT(nuts_float, Trajectory, float)
EXPORT(nuts_double, Trajectory, double)
EXPORT(hmc_float, HMCState, float)
EXPORT(hmc_double, HMCState, double)
