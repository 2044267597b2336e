"""Hidden Markov models, with densities in logarithmic depth."""

from __future__ import annotations

from .base import HiddenMarkovModel as HiddenMarkovModel
from .discrete import DiscreteHMM as DiscreteHMM
from .gamma_gaussian import GammaGaussianHMM as GammaGaussianHMM
from .gaussian import GaussianHMM as GaussianHMM
from .gaussian_mrf import GaussianMRF as GaussianMRF
from .independent import IndependentHMM as IndependentHMM
from .linear import LinearHMM as LinearHMM
