"""Compound distributions of conjugate pairs, at the path that programs import them from."""

from __future__ import annotations

from .beta_binomial import BetaBinomial as BetaBinomial
from .dirichlet_multinomial import DirichletMultinomial as DirichletMultinomial
from .gamma_poisson import GammaPoisson as GammaPoisson
