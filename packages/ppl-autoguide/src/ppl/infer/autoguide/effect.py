"""The guides that are handlers of their model, at the path where programs look for them."""

from .auto_hierarchical_normal_messenger import (
    AutoHierarchicalNormalMessenger as AutoHierarchicalNormalMessenger,
)
from .auto_messenger import AutoMessenger as AutoMessenger
from .auto_messenger import AutoMessengerMeta as AutoMessengerMeta
from .auto_normal_messenger import AutoNormalMessenger as AutoNormalMessenger
from .auto_regressive_messenger import AutoRegressiveMessenger as AutoRegressiveMessenger
