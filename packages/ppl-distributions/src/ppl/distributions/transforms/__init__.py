"""Transforms: those of torch, fixed ones of ours, and learnable ones of other distributions.

``biject_to(constraint)`` and ``transform_to(constraint)`` find the transform from unconstrained
space. A name that is not defined here is looked up among the installed ``ppl.transforms`` plugins.
"""

from __future__ import annotations

from torch.distributions import biject_to as biject_to
from torch.distributions import transform_to as transform_to
from torch.distributions.transforms import AbsTransform as AbsTransform
from torch.distributions.transforms import AffineTransform as AffineTransform
from torch.distributions.transforms import CatTransform as CatTransform
from torch.distributions.transforms import ComposeTransform as ComposeTransform
from torch.distributions.transforms import (
    CumulativeDistributionTransform as CumulativeDistributionTransform,
)
from torch.distributions.transforms import ExpTransform as ExpTransform
from torch.distributions.transforms import IndependentTransform as IndependentTransform
from torch.distributions.transforms import LowerCholeskyTransform as LowerCholeskyTransform
from torch.distributions.transforms import PositiveDefiniteTransform as PositiveDefiniteTransform
from torch.distributions.transforms import PowerTransform as PowerTransform
from torch.distributions.transforms import ReshapeTransform as ReshapeTransform
from torch.distributions.transforms import SigmoidTransform as SigmoidTransform
from torch.distributions.transforms import SoftmaxTransform as SoftmaxTransform
from torch.distributions.transforms import SoftplusTransform as SoftplusTransform
from torch.distributions.transforms import StackTransform as StackTransform
from torch.distributions.transforms import StickBreakingTransform as StickBreakingTransform
from torch.distributions.transforms import Transform as Transform
from torch.distributions.transforms import identity_transform as identity_transform

from ppl import plugins

from ..conditional import ComposeTransformModule as ComposeTransformModule
from . import registration as registration
from .activations import ELUTransform as ELUTransform
from .activations import LeakyReLUTransform as LeakyReLUTransform
from .activations import TanhTransform as TanhTransform
from .activations import elu as elu
from .activations import leaky_relu as leaky_relu
from .activations import tanh as tanh
from .along_dim import DiscreteCosineTransform as DiscreteCosineTransform
from .along_dim import HaarTransform as HaarTransform
from .along_dim import Permute as Permute
from .along_dim import permute as permute
from .correlations import CorrCholeskyTransform as CorrCholeskyTransform
from .correlations import CorrLCholeskyTransform as CorrLCholeskyTransform
from .correlations import CorrMatrixCholeskyTransform as CorrMatrixCholeskyTransform
from .cutpoints import SimplexToOrderedTransform as SimplexToOrderedTransform
from .iteration import iterated as iterated
from .matrices import CholeskyTransform as CholeskyTransform
from .matrices import SoftplusLowerCholeskyTransform as SoftplusLowerCholeskyTransform
from .matrices import UnitLowerCholeskyTransform as UnitLowerCholeskyTransform
from .power import PositivePowerTransform as PositivePowerTransform
from .triangles import LowerCholeskyBijection as LowerCholeskyBijection
from .triangles import UnitLowerCholeskyBijection as UnitLowerCholeskyBijection
from .vectors import LowerCholeskyAffine as LowerCholeskyAffine
from .vectors import Normalize as Normalize
from .vectors import OrderedTransform as OrderedTransform
from .zero_sum import ZeroSumTransform as ZeroSumTransform

# Where the learnable transforms live, for the message when that distribution is absent.
_PROVIDERS = dict.fromkeys(
    [
        "AffineAutoregressive",
        "AffineCoupling",
        "BatchNorm",
        "BlockAutoregressive",
        "ConditionalAffineAutoregressive",
        "ConditionalAffineCoupling",
        "ConditionalGeneralizedChannelPermute",
        "ConditionalHouseholder",
        "ConditionalMatrixExponential",
        "ConditionalNeuralAutoregressive",
        "ConditionalPlanar",
        "ConditionalRadial",
        "ConditionalSpline",
        "ConditionalSplineAutoregressive",
        "GeneralizedChannelPermute",
        "Householder",
        "MatrixExponential",
        "NeuralAutoregressive",
        "Planar",
        "Polynomial",
        "Radial",
        "Spline",
        "SplineAutoregressive",
        "SplineCoupling",
        "Sylvester",
        "affine_autoregressive",
        "affine_coupling",
        "batchnorm",
        "block_autoregressive",
        "conditional_affine_autoregressive",
        "conditional_affine_coupling",
        "conditional_generalized_channel_permute",
        "conditional_householder",
        "conditional_matrix_exponential",
        "conditional_neural_autoregressive",
        "conditional_planar",
        "conditional_radial",
        "conditional_spline",
        "conditional_spline_autoregressive",
        "generalized_channel_permute",
        "householder",
        "matrix_exponential",
        "neural_autoregressive",
        "planar",
        "polynomial",
        "radial",
        "spline",
        "spline_autoregressive",
        "spline_coupling",
        "sylvester",
    ],
    "ppl-contrib-flows",
)


def __getattr__(name: str) -> object:
    return plugins.attribute(__name__, "ppl.transforms", name, _PROVIDERS.get(name))


def __dir__() -> list[str]:
    return sorted({*globals(), *plugins.names("ppl.transforms")})
