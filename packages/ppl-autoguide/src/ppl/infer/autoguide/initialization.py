"""The initialization strategies at their documented path."""

import typing as _typing

from ppl.infer.initialization import InitMessenger as InitMessenger
from ppl.infer.initialization import init_to_feasible as init_to_feasible
from ppl.infer.initialization import init_to_generated as init_to_generated
from ppl.infer.initialization import init_to_mean as init_to_mean
from ppl.infer.initialization import init_to_median as init_to_median
from ppl.infer.initialization import init_to_sample as init_to_sample
from ppl.infer.initialization import init_to_uniform as init_to_uniform
from ppl.infer.initialization import init_to_value as init_to_value
from ppl.plugins import misspelt as _misspelt

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
