"""The law of floating-point types: what comes out has that of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close

from ppl.distribution import ExpandedDistribution

from ..kl import kl_divergence
from .case import Case

DTYPES = (torch.float32, torch.float64)


def dtype_is_kept(case: Case) -> None:
    """Single stays single and double stays double, to the last digit, whatever the default is."""
    for dtype, other in (DTYPES, DTYPES[::-1]):
        value = case.dist(dtype).sample()
        with default_dtype(dtype):
            want = dict(_outcome(case, dtype, value))
        with default_dtype(other):
            got = dict(_outcome(case, dtype, value))
        assert got.keys() == want.keys()
        for name, result in got.items():
            told = f"{name} of {case.name}, a {dtype} family while the default is {other}"
            is_kept = result.dtype == dtype or not result.is_floating_point()
            assert is_kept, f"{told}: {result.dtype}"
            if name not in ("sample", "rsample"):
                digits = 1e-12 if dtype == torch.float64 else 1e-5
                assert_close(result, want[name], rtol=digits, atol=digits, equal_nan=True, msg=told)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make ``dtype`` the default of torch for a ``with`` block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _outcome(case: Case, dtype: torch.dtype, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield all that a member can tell, and those made of it."""
    dist = case.dist(dtype)
    level = torch.full(dist.batch_shape, 0.3, dtype=dtype)
    told: dict[str, Callable[[], Any]] = {
        "sample": dist.sample,
        "rsample": dist.rsample,
        "log_prob": lambda: dist.log_prob(value),
        "mean": lambda: dist.mean,
        "variance": lambda: dist.variance,
        "stddev": lambda: dist.stddev,
        "mode": lambda: dist.mode() if callable(type(dist).mode) else dist.mode,
        "entropy": dist.entropy,
        "cdf": lambda: dist.cdf(value),
        "icdf": lambda: dist.icdf(level),
        "values": dist.enumerate_support,
        "divergence": lambda: kl_divergence(dist, dist.expand((2, *dist.batch_shape))),
        "masked": lambda: dist.mask(False).log_prob(value),
        "event": lambda: dist.to_event(1).log_prob(value),
        "expanded": lambda: ExpandedDistribution(dist, (2, *dist.batch_shape)).log_prob(value),
    }
    for name, tell in told.items():
        try:
            yield name, tell()
        except (NotImplementedError, AttributeError):  # a family need not know everything
            continue
