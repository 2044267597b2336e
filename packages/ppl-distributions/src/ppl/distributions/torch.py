"""The distributions of torch as distributions of ours; the path that programs import from."""

from __future__ import annotations

from ppl.distribution import Independent as Independent

from .categorical import Categorical as Categorical
from .categorical import Multinomial as Multinomial
from .categorical import OneHotCategorical as OneHotCategorical
from .categorical import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from .circle import VonMises as VonMises
from .continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from .counts import Bernoulli as Bernoulli
from .counts import Binomial as Binomial
from .counts import Geometric as Geometric
from .counts import NegativeBinomial as NegativeBinomial
from .counts import Poisson as Poisson
from .exponential_family import ExponentialFamily as ExponentialFamily
from .lkj import LKJCholesky as LKJCholesky
from .mixture import MixtureSameFamily as MixtureSameFamily
from .multivariate_normal import LowRankMultivariateNormal as LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal as MultivariateNormal
from .pareto import GeneralizedPareto as GeneralizedPareto
from .pareto import Pareto as Pareto
from .positive import Chi2 as Chi2
from .positive import Exponential as Exponential
from .positive import FisherSnedecor as FisherSnedecor
from .positive import Gamma as Gamma
from .positive import HalfCauchy as HalfCauchy
from .positive import HalfNormal as HalfNormal
from .positive import InverseGamma as InverseGamma
from .positive import LogNormal as LogNormal
from .positive import Weibull as Weibull
from .real_line import Cauchy as Cauchy
from .real_line import Gumbel as Gumbel
from .real_line import Laplace as Laplace
from .real_line import Normal as Normal
from .real_line import StudentT as StudentT
from .simplex import Dirichlet as Dirichlet
from .simplex import LogisticNormal as LogisticNormal
from .simplex import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from .transformed import TransformedDistribution as TransformedDistribution
from .unit_interval import Beta as Beta
from .unit_interval import Kumaraswamy as Kumaraswamy
from .unit_interval import RelaxedBernoulli as RelaxedBernoulli
from .unit_interval import Uniform as Uniform
from .wishart import Wishart as Wishart
