"""Loops at vector speed: what many operations have in common is done once.

A model that is written with a Python ``for`` has thousands of operations, and a recording of it as
many steps.  Here the function runs once without proxies, operations that do the same to other
inputs are joined, and what comes out is a function of the position that is recorded as any other.
Either it computes the same, up to the order of sums, or the function is declined, with the reason.
"""

from .batching import Batched as Batched
from .batching import at_vector_speed as at_vector_speed
from .batching import batch_loops as batch_loops
from .nodes import DeclinedError as DeclinedError
from .rounds_operation import compile_loops as compile_loops
