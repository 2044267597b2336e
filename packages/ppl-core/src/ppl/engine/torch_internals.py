"""Parts of torch that are not documented, each with what happens where it is another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental import proxy_tensor


@contextmanager
def cheap_values() -> Iterator[None]:
    """While this thread records, let torch note values as tensors on the "meta" device.

    By default it keeps a fake tensor for each operation, which takes half of the time of a
    recording.  Where torch has no such function any more, nothing is changed.
    """
    torch_recorder: Any = proxy_tensor
    usual: Any = getattr(torch_recorder, "extract_val", None)
    if usual is None:
        yield
        return
    thread = threading.get_ident()

    def extract_val(value: Any, *args: Any, **kwargs: Any) -> Any:
        is_plain = type(value) in (Tensor, torch.nn.Parameter) and value.layout is torch.strided
        if not is_plain or threading.get_ident() != thread:
            return usual(value, *args, **kwargs)
        shape, strides = value.shape, value.stride()
        return torch.empty_strided(shape, strides, dtype=value.dtype, device="meta")

    torch_recorder.extract_val = extract_val
    try:
        yield
    finally:
        torch_recorder.extract_val = usual
