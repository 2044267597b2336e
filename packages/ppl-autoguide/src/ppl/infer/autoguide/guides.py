"""The automatic guides at the path where programs look for them."""

from .auto_delta import AutoDelta as AutoDelta
from .auto_normal import AutoNormal as AutoNormal
from .guide import AutoGuide as AutoGuide
