"""Families without their reparameterized samplers, to try score-function gradients on."""

from __future__ import annotations

from ..torch import Beta, Dirichlet, Gamma, Normal


class NonreparameterizedBeta(Beta):
    """Beta whose draws carry no gradient."""

    has_rsample = False


class NonreparameterizedDirichlet(Dirichlet):
    """Dirichlet whose draws carry no gradient."""

    has_rsample = False


class NonreparameterizedGamma(Gamma):
    """Gamma whose draws carry no gradient."""

    has_rsample = False


class NonreparameterizedNormal(Normal):
    """Normal whose draws carry no gradient."""

    has_rsample = False
