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
from .affine_beta import AffineBeta as AffineBeta
from .asymmetric_laplace import AsymmetricLaplace as AsymmetricLaplace
from .asymmetric_laplace import SoftAsymmetricLaplace as SoftAsymmetricLaplace
from .beta_binomial import BetaBinomial as BetaBinomial
from .censored import Censored as Censored
from .coalescent import CoalescentRateLikelihood as CoalescentRateLikelihood
from .coalescent import CoalescentTimes as CoalescentTimes
from .coalescent import CoalescentTimesWithRate as CoalescentTimesWithRate
from .conditional import ComposeTransformModule as ComposeTransformModule
from .conditional import ConditionalDistribution as ConditionalDistribution
from .conditional import ConditionalTransform as ConditionalTransform
from .conditional import ConditionalTransformedDistribution as ConditionalTransformedDistribution
from .conditional import ConditionalTransformModule as ConditionalTransformModule
from .conditional import ConstantConditionalDistribution as ConstantConditionalDistribution
from .conditional import ConstantConditionalTransform as ConstantConditionalTransform
from .conditional_autoregressive import CAR as CAR
from .conditional_autoregressive import ICAR as ICAR
from .dirichlet_multinomial import DirichletMultinomial as DirichletMultinomial
from .empirical import Empirical as Empirical
from .extended import ExtendedBetaBinomial as ExtendedBetaBinomial
from .extended import ExtendedBinomial as ExtendedBinomial
from .folded import FoldedDistribution as FoldedDistribution
from .gamma_poisson import GammaPoisson as GammaPoisson
from .grouped_normal_normal import GroupedNormalNormal as GroupedNormalNormal
from .hmm import DiscreteHMM as DiscreteHMM
from .hmm import GammaGaussianHMM as GammaGaussianHMM
from .hmm import GaussianHMM as GaussianHMM
from .hmm import GaussianMRF as GaussianMRF
from .hmm import IndependentHMM as IndependentHMM
from .hmm import LinearHMM as LinearHMM
from .hurdle import Hurdle as Hurdle
from .hurdle import HurdleNegativeBinomial as HurdleNegativeBinomial
from .hurdle import HurdlePoisson as HurdlePoisson
from .improper_uniform import ImproperUniform as ImproperUniform
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl
from .lkj import LKJ as LKJ
from .lkj import LKJCorrCholesky as LKJCorrCholesky
from .log_normal_negative_binomial import LogNormalNegativeBinomial as LogNormalNegativeBinomial
from .logistic import Logistic as Logistic
from .logistic import SkewLogistic as SkewLogistic
from .masked_mixture import MaskedMixture as MaskedMixture
from .matching import OneOneMatching as OneOneMatching
from .matching import OneTwoMatching as OneTwoMatching
from .mixture_of_normals import GaussianScaleMixture as GaussianScaleMixture
from .mixture_of_normals import MixtureOfDiagNormals as MixtureOfDiagNormals
from .mixture_of_normals import (
    MixtureOfDiagNormalsSharedCovariance as MixtureOfDiagNormalsSharedCovariance,
)
from .multivariate_student_t import MultivariateStudentT as MultivariateStudentT
from .nan_masked import NanMaskedMultivariateNormal as NanMaskedMultivariateNormal
from .nan_masked import NanMaskedNormal as NanMaskedNormal
from .ordered_logistic import OrderedLogistic as OrderedLogistic
from .polya_gamma import TruncatedPolyaGamma as TruncatedPolyaGamma
from .projected_normal import ProjectedNormal as ProjectedNormal
from .rejector import Rejector as Rejector
from .sine_bivariate_von_mises import SineBivariateVonMises as SineBivariateVonMises
from .sine_skewed import SineSkewed as SineSkewed
from .soft_laplace import SoftLaplace as SoftLaplace
from .spanning_tree import SpanningTree as SpanningTree
from .stable import Stable as Stable
from .stable import StableWithLogProb as StableWithLogProb
from .straight_through import RelaxedBernoulliStraightThrough as RelaxedBernoulliStraightThrough
from .straight_through import (
    RelaxedOneHotCategoricalStraightThrough as RelaxedOneHotCategoricalStraightThrough,
)
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
from .transported_normal import AVFMultivariateNormal as AVFMultivariateNormal
from .transported_normal import OMTMultivariateNormal as OMTMultivariateNormal
from .truncated import Truncated as Truncated
from .von_mises_3d import VonMises3D as VonMises3D
from .zero_inflated import ZeroInflatedDistribution as ZeroInflatedDistribution
from .zero_inflated import ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial
from .zero_inflated import ZeroInflatedPoisson as ZeroInflatedPoisson
from .zero_sum_normal import ZeroSumNormal as ZeroSumNormal

_GROUP = "ppl.distributions"


def __getattr__(name: str) -> object:
    return plugins.attribute(__name__, _GROUP, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *plugins.names(_GROUP)})
