"""Functions of tensors: the one place to import them from."""

from .cholesky import CHOLESKY_RELATIVE_JITTER as CHOLESKY_RELATIVE_JITTER
from .cholesky import cholesky_solve as cholesky_solve
from .cholesky import precision_to_scale_tril as precision_to_scale_tril
from .cholesky import safe_cholesky as safe_cholesky
from .cholesky import triangular_solve as triangular_solve
from .fourier import as_complex as as_complex
from .fourier import convolve as convolve
from .fourier import dct as dct
from .fourier import idct as idct
from .fourier import next_fast_len as next_fast_len
from .haar import haar_transform as haar_transform
from .haar import inverse_haar_transform as inverse_haar_transform
from .matrices import block_diag_embed as block_diag_embed
from .matrices import block_diagonal as block_diagonal
from .matrices import broadcast_tensors_without_dim as broadcast_tensors_without_dim
from .matrices import matmul as matmul
from .matrices import matvecmul as matvecmul
from .matrices import repeated_matmul as repeated_matmul
from .matrices import safe_normalize as safe_normalize
from .periodic import periodic_cumsum as periodic_cumsum
from .periodic import periodic_features as periodic_features
from .periodic import periodic_repeat as periodic_repeat
