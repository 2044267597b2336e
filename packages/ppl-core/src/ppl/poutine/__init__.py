"""Composable effect handlers: run a program, change what it means."""

import typing as _typing

from ppl.plugins import misspelt as _misspelt

from .handlers import block as block
from .handlers import broadcast as broadcast
from .handlers import collapse as collapse
from .handlers import condition as condition
from .handlers import do as do
from .handlers import enum as enum
from .handlers import equalize as equalize
from .handlers import escape as escape
from .handlers import infer_config as infer_config
from .handlers import lift as lift
from .handlers import markov as markov
from .handlers import mask as mask
from .handlers import queue as queue
from .handlers import reparam as reparam
from .handlers import replay as replay
from .handlers import scale as scale
from .handlers import seed as seed
from .handlers import substitute as substitute
from .handlers import trace as trace
from .handlers import uncondition as uncondition
from .handlers import unwrap as unwrap
from .runtime import NonlocalExit as NonlocalExit
from .runtime import get_mask as get_mask
from .trace_struct import Trace as Trace
from .util import enable_validation as enable_validation
from .util import is_validation_enabled as is_validation_enabled

if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
