"""All reference posteriors, and the forms of them that NUTS can explore."""

from __future__ import annotations

from . import eight_schools, flat_regression, hidden_markov, seeds
from .autoregression import AUTOREGRESSION
from .dogs import DOGS
from .garch import GARCH
from .gaussian_process import GAUSSIAN_PROCESS
from .item_response import ITEM_RESPONSE
from .kidiq import KIDIQ
from .kilpisjarvi import KILPISJARVI
from .mixture import MIXTURE
from .peregrines import PEREGRINES
from .radon import RADON
from .sblrc import SBLRC
from .wells import WELLS

POSTERIORS = (
    AUTOREGRESSION,
    DOGS,
    GARCH,
    GAUSSIAN_PROCESS,
    ITEM_RESPONSE,
    KIDIQ,
    KILPISJARVI,
    MIXTURE,
    PEREGRINES,
    RADON,
    SBLRC,
    WELLS,
    eight_schools.CENTERED,
    eight_schools.NONCENTERED,
    flat_regression.EARNINGS,
    flat_regression.ELECTION,
    flat_regression.MESQUITE,
    hidden_markov.DRIVES,
    hidden_markov.HIDDEN_MARKOV,
    seeds.CENTERED,
)

_FUNNELS = (eight_schools.CENTERED, seeds.CENTERED)
EXPLORABLE = (*(p for p in POSTERIORS if p not in _FUNNELS), seeds.NONCENTERED)
