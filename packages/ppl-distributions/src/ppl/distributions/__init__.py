"""Probability distributions, constraints and transforms for ppl.

``ppl.distributions.Name`` is a distribution of ours or one that an installed plugin registers in
the ``ppl.distributions`` entry-point group.

Values outside a support are refused while validation is on. While it is off, a value outside a
support that moves with the parameters (``Uniform``, ``Pareto``, ``GeneralizedPareto``,
``Binomial``) has log density -inf; outside a constant support the result is unspecified.
"""

from __future__ import annotations

from ppl import plugins
from ppl.distribution import Delta as Delta
from ppl.distribution import Distribution as Distribution
from ppl.distribution import ExpandedDistribution as ExpandedDistribution
from ppl.distribution import Independent as Independent
from ppl.distribution import MaskedDistribution as MaskedDistribution
from ppl.distribution import TorchDistribution as TorchDistribution
from ppl.distribution import TorchDistributionMixin as TorchDistributionMixin
from ppl.distribution import Unit as Unit
from ppl.validation import enable_validation as enable_validation
from ppl.validation import is_validation_enabled as is_validation_enabled
from ppl.validation import validation_enabled as validation_enabled

from . import constraints as constraints
from . import kl as kl
from . import transforms as transforms
from . import util as util
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl
from .torch import Bernoulli as Bernoulli
from .torch import Beta as Beta
from .torch import Binomial as Binomial
from .torch import Categorical as Categorical
from .torch import Cauchy as Cauchy
from .torch import Chi2 as Chi2
from .torch import ContinuousBernoulli as ContinuousBernoulli
from .torch import Dirichlet as Dirichlet
from .torch import Exponential as Exponential
from .torch import ExponentialFamily as ExponentialFamily
from .torch import FisherSnedecor as FisherSnedecor
from .torch import Gamma as Gamma
from .torch import GeneralizedPareto as GeneralizedPareto
from .torch import Geometric as Geometric
from .torch import Gumbel as Gumbel
from .torch import HalfCauchy as HalfCauchy
from .torch import HalfNormal as HalfNormal
from .torch import InverseGamma as InverseGamma
from .torch import Kumaraswamy as Kumaraswamy
from .torch import Laplace as Laplace
from .torch import LKJCholesky as LKJCholesky
from .torch import LogisticNormal as LogisticNormal
from .torch import LogNormal as LogNormal
from .torch import LowRankMultivariateNormal as LowRankMultivariateNormal
from .torch import MixtureSameFamily as MixtureSameFamily
from .torch import Multinomial as Multinomial
from .torch import MultivariateNormal as MultivariateNormal
from .torch import NegativeBinomial as NegativeBinomial
from .torch import Normal as Normal
from .torch import OneHotCategorical as OneHotCategorical
from .torch import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from .torch import Pareto as Pareto
from .torch import Poisson as Poisson
from .torch import RelaxedBernoulli as RelaxedBernoulli
from .torch import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from .torch import StudentT as StudentT
from .torch import TransformedDistribution as TransformedDistribution
from .torch import Uniform as Uniform
from .torch import VonMises as VonMises
from .torch import Weibull as Weibull
from .torch import Wishart as Wishart
from .transforms import biject_to as biject_to
from .transforms import transform_to as transform_to

_GROUP = "ppl.distributions"


def __getattr__(name: str) -> object:
    if name in plugins.entries(_GROUP):
        return plugins.load(_GROUP, name)
    hint = plugins.nearest(name, __dir__())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *plugins.names(_GROUP)})
