"""The engine: record a function once, with all its handlers, and run the tensor program it was.

Effect handlers are Python that compilers cannot follow. What they *do* is a sequence of tensor
operations, and ``make_fx`` records these while the function runs once, through ``torch.func``
transforms too: ``record(vmap(grad_and_value(potential)), z)``. The replay has no handlers left.

A recording is right for one structure: the shapes, dtypes and devices of its example arguments, and
a flow of control that does not depend on values. Random draws are recorded as operations, so a
replay draws anew.
"""

from .agreement import agree as agree
from .agreement import points_near as points_near
from .agreement import same_function as same_function
from .batch_first_matmul import batch_first as batch_first
from .differentiable import DifferentiableProgram as DifferentiableProgram
from .differentiable import record_with_gradient as record_with_gradient
from .factorization import factorizes_infinity as factorizes_infinity
from .factorization import fail_with_nan as fail_with_nan
from .folding import fold_constants as fold_constants
from .passes import Pass as Pass
from .passes import optimize as optimize
from .program import Program as Program
from .program import compiled as compiled
from .program import recorded as recorded
from .recording import is_recording as is_recording
from .recording import record as record
from .refusals import CaptureError as CaptureError
from .split_matmul import split_products as split_products
