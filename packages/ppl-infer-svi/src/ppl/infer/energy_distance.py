"""``EnergyDistance`` at the path where programs look for it."""

from ppl.infer.svi.energy_distance import EnergyDistance as EnergyDistance
