"""Named learnable parameters, their constraints and their files."""

from .param_store import ParamStoreDict as ParamStoreDict
from .param_store import module_from_param_with_module_name as module_from_param_with_module_name
from .param_store import param_with_module_name as param_with_module_name
from .param_store import user_param_name as user_param_name
