"""Learnable transforms (normalizing flows) and the networks inside them."""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .auto_reg_nn import AutoRegressiveNN as AutoRegressiveNN
from .auto_reg_nn import ConditionalAutoRegressiveNN as ConditionalAutoRegressiveNN
from .auto_reg_nn import MaskedLinear as MaskedLinear
from .auto_reg_nn import create_mask as create_mask
from .autoregressive import Autoregressive as Autoregressive
from .batch_norm import BatchNorm as BatchNorm
from .batch_norm import batchnorm as batchnorm
from .block_autoregressive_flow import BlockAutoregressive as BlockAutoregressive
from .block_autoregressive_flow import block_autoregressive as block_autoregressive
from .channel_permute import (
    ConditionalGeneralizedChannelPermute as ConditionalGeneralizedChannelPermute,
)
from .channel_permute import (
    ConditionedGeneralizedChannelPermute as ConditionedGeneralizedChannelPermute,
)
from .channel_permute import GeneralizedChannelPermute as GeneralizedChannelPermute
from .channel_permute import (
    conditional_generalized_channel_permute as conditional_generalized_channel_permute,
)
from .channel_permute import generalized_channel_permute as generalized_channel_permute
from .conditional_flow import ConditionalFlow as ConditionalFlow
from .coupling import AffineCoupling as AffineCoupling
from .coupling import ConditionalAffineCoupling as ConditionalAffineCoupling
from .coupling import affine_coupling as affine_coupling
from .coupling import conditional_affine_coupling as conditional_affine_coupling
from .dense_nn import ConditionalDenseNN as ConditionalDenseNN
from .dense_nn import DenseNN as DenseNN
from .given import Given as Given
from .householder_flow import ConditionalHouseholder as ConditionalHouseholder
from .householder_flow import ConditionedHouseholder as ConditionedHouseholder
from .householder_flow import Householder as Householder
from .householder_flow import conditional_householder as conditional_householder
from .householder_flow import householder as householder
from .inverse_autoregressive import AffineAutoregressive as AffineAutoregressive
from .inverse_autoregressive import (
    ConditionalAffineAutoregressive as ConditionalAffineAutoregressive,
)
from .inverse_autoregressive import affine_autoregressive as affine_autoregressive
from .inverse_autoregressive import (
    conditional_affine_autoregressive as conditional_affine_autoregressive,
)
from .lazy_flow import ConditionalLazyFlow as ConditionalLazyFlow
from .lazy_flow import LazyFlow as LazyFlow
from .matrix_exponential_flow import ConditionalMatrixExponential as ConditionalMatrixExponential
from .matrix_exponential_flow import ConditionedMatrixExponential as ConditionedMatrixExponential
from .matrix_exponential_flow import MatrixExponential as MatrixExponential
from .matrix_exponential_flow import (
    conditional_matrix_exponential as conditional_matrix_exponential,
)
from .matrix_exponential_flow import matrix_exponential as matrix_exponential
from .neural_flow import ConditionalNeuralAutoregressive as ConditionalNeuralAutoregressive
from .neural_flow import NeuralAutoregressive as NeuralAutoregressive
from .neural_flow import conditional_neural_autoregressive as conditional_neural_autoregressive
from .neural_flow import neural_autoregressive as neural_autoregressive
from .planar_flow import ConditionalPlanar as ConditionalPlanar
from .planar_flow import ConditionedPlanar as ConditionedPlanar
from .planar_flow import Planar as Planar
from .planar_flow import conditional_planar as conditional_planar
from .planar_flow import planar as planar
from .polynomial_flow import Polynomial as Polynomial
from .polynomial_flow import polynomial as polynomial
from .radial_flow import ConditionalRadial as ConditionalRadial
from .radial_flow import ConditionedRadial as ConditionedRadial
from .radial_flow import Radial as Radial
from .radial_flow import conditional_radial as conditional_radial
from .radial_flow import radial as radial
from .root import increasing_root as increasing_root
from .spline_autoregressive_flow import (
    ConditionalSplineAutoregressive as ConditionalSplineAutoregressive,
)
from .spline_autoregressive_flow import SplineAutoregressive as SplineAutoregressive
from .spline_autoregressive_flow import (
    conditional_spline_autoregressive as conditional_spline_autoregressive,
)
from .spline_autoregressive_flow import spline_autoregressive as spline_autoregressive
from .spline_coupling_flow import SplineCoupling as SplineCoupling
from .spline_coupling_flow import spline_coupling as spline_coupling
from .spline_flow import ConditionalSpline as ConditionalSpline
from .spline_flow import ConditionedSpline as ConditionedSpline
from .spline_flow import Spline as Spline
from .spline_flow import conditional_spline as conditional_spline
from .spline_flow import spline as spline
from .sylvester_flow import Sylvester as Sylvester
from .sylvester_flow import sylvester as sylvester
from .transform_module import TransformModule as TransformModule

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
