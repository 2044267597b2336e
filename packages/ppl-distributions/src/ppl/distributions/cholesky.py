"""Cholesky factors that turn to nan where none exists."""

from __future__ import annotations

from ppl.ops.cholesky import nan_cholesky as nan_cholesky
from ppl.ops.cholesky import precision_to_scale_tril as precision_to_scale_tril
