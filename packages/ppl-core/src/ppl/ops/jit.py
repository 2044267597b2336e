"""Run a program once and replay what it did to tensors, with or without a compiler.

The public door of :mod:`ppl.engine`.
"""

from ppl.engine.compiled_function import CompiledFunction as CompiledFunction
from ppl.engine.compiled_function import Compiling as Compiling
from ppl.engine.compiled_function import compile as compile
from ppl.engine.compiled_function import trace as trace
