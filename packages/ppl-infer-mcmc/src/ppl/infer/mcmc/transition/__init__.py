"""Transitions, cut into leapfrogs: what happens to every chain between two draws.

A transition of your own needs what is here; see :class:`~ppl.infer.mcmc.GradientKernel`.
"""

from .integrator import Point as Point
from .integrator import leapfrog as leapfrog
from .machine import MAX_ENERGY_ERROR as MAX_ENERGY_ERROR
from .machine import NativeTransition as NativeTransition
from .machine import Noise as Noise
from .machine import Outcome as Outcome
from .machine import PhasePoint as PhasePoint
from .machine import Transition as Transition
from .machine import Tuning as Tuning
from .machine import energy_error as energy_error
from .machine import refresh_momentum as refresh_momentum
from .masking import select as select
from .metric import Metric as Metric
from .metric import kinetic_energy as kinetic_energy
