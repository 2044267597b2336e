"""The autoregressive networks at their documented path."""

from ppl.contrib.flows.auto_reg_nn import AutoRegressiveNN as AutoRegressiveNN
from ppl.contrib.flows.auto_reg_nn import ConditionalAutoRegressiveNN as ConditionalAutoRegressiveNN
from ppl.contrib.flows.auto_reg_nn import MaskedLinear as MaskedLinear
from ppl.contrib.flows.auto_reg_nn import create_mask as create_mask
