"""Large products of a compiled program by oneDNN, where MKL gets less out of the processor.

On processors of AMD torch multiplies float32 matrices by MKL at half the speed of oneDNN, which it
ships as well.  The choice depends on the maker of the processor and on the shapes alone.
"""

from __future__ import annotations

import platform
import types
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGE = 1_500_000  # multiplications: oneDNN takes ten microseconds to begin


def helps(a: Tensor, b: Tensor, out: Tensor) -> bool:
    """Return whether oneDNN is the faster one for ``a @ b``, of matrices."""
    return (
        a.dtype is torch.float32
        and a.device.type == "cpu"
        and a.shape[0] * a.shape[1] * b.shape[1] >= LARGE
        and min(*a.shape, b.shape[1]) > 1
        and out.is_contiguous()
        and _is_faster_here()
    )


def bias_of(summand: Tensor, columns: int) -> Tensor | None:
    """Return what is added to each row, None if the rows of the summand differ."""
    if summand.dim() == 2 and (summand.stride(0) == 0 or summand.shape[0] == 1):
        summand = summand[0]
    is_row = summand.shape == (columns,) and summand.dtype is torch.float32
    return summand.contiguous() if is_row else None


def multiply(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Write ``a @ b``, plus a bias to each row, to a contiguous tensor."""
    out.copy_(torch.ops.mkldnn._linear_pointwise(a, b.mT, bias, "none", [], ""))


@cache
def _is_faster_here() -> bool:
    has_both = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    return has_both and "AuthenticAMD" in _maker()


def _maker() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("vendor_id")), "")


class _Products:
    """Stands for inductor's ``extern_kernels``."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)

    def mm(self, a: Tensor, b: Tensor, *, out: Tensor) -> None:
        if helps(a, b, out):
            multiply(a, b, None, out)
        else:
            self._usual.mm(a, b, out=out)

    def addmm(
        self, x: Tensor, a: Tensor, b: Tensor, *, out: Tensor, alpha: float = 1, beta: float = 1
    ) -> None:
        bias = bias_of(x, b.shape[1]) if (alpha, beta) == (1, 1) and helps(a, b, out) else None
        if bias is None:
            self._usual.addmm(x, a, b, alpha=alpha, beta=beta, out=out)
        else:
            multiply(a, b, bias, out)


def by_onednn(generated: Any) -> Any:
    """Return what inductor generated with its large products by oneDNN."""
    function = getattr(generated, "__func__", generated)
    is_known = isinstance(function, types.FunctionType)
    if not is_known or "extern_kernels" not in function.__code__.co_names or not _is_faster_here():
        return generated
    usual = function.__globals__.get("extern_kernels")
    found = {**function.__globals__, "extern_kernels": _Products(usual)}
    changed = types.FunctionType(
        function.__code__, found, function.__name__, function.__defaults__, function.__closure__
    )
    owner = getattr(generated, "__self__", None)
    return changed if owner is None else types.MethodType(changed, owner)
