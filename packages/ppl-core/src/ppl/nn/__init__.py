"""Modules of torch whose parameters and random weights take part in a model."""

from .context import pyro_method as pyro_method
from .declarations import PyroParam as PyroParam
from .declarations import PyroSample as PyroSample
from .module import PyroModule as PyroModule
from .module import PyroModuleList as PyroModuleList
