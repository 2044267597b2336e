"""Automatic guides: variational families made from a model."""

from ppl.infer.initialization import init_to_feasible as init_to_feasible
from ppl.infer.initialization import init_to_generated as init_to_generated
from ppl.infer.initialization import init_to_mean as init_to_mean
from ppl.infer.initialization import init_to_median as init_to_median
from ppl.infer.initialization import init_to_sample as init_to_sample
from ppl.infer.initialization import init_to_uniform as init_to_uniform
from ppl.infer.initialization import init_to_value as init_to_value

from .auto_delta import AutoDelta as AutoDelta
from .auto_normal import AutoNormal as AutoNormal
from .entropy import mean_field_entropy as mean_field_entropy
from .guide import AutoGuide as AutoGuide
