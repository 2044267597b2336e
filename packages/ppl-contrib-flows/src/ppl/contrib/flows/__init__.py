"""Learnable transforms (normalizing flows) and the networks inside them."""

from .auto_reg_nn import AutoRegressiveNN as AutoRegressiveNN
from .auto_reg_nn import ConditionalAutoRegressiveNN as ConditionalAutoRegressiveNN
from .auto_reg_nn import MaskedLinear as MaskedLinear
from .auto_reg_nn import create_mask as create_mask
from .autoregressive import AffineAutoregressive as AffineAutoregressive
from .autoregressive import affine_autoregressive as affine_autoregressive
from .coupling import AffineCoupling as AffineCoupling
from .coupling import affine_coupling as affine_coupling
from .dense_nn import ConditionalDenseNN as ConditionalDenseNN
from .dense_nn import DenseNN as DenseNN
from .planar_flow import Planar as Planar
from .planar_flow import planar as planar
from .transform_module import TransformModule as TransformModule
