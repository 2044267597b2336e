"""What a driver tells a kernel for one run, and takes back when the run has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ppl.errors import ArgumentError
from ppl.infer.mcmc.driver.run_config import RunConfig

_ABSENT = object()


@contextmanager
def for_one_run(kernel: Any, config: RunConfig, chain: int | None = None) -> Iterator[None]:
    """Set starting points and transforms of a kernel as the config says, and undo it at the end.

    Whatever attributes the kernel's setters change are put back, so that its next run begins as if
    this one had not been.

    Args:
        kernel: The kernel.
        config: The config.
        chain: Which chain's starting point to set; None for those of all chains.
    """
    before = dict(vars(kernel))
    if config.initial_params is not None:
        kernel.initial_params = config.start_of(chain)
    if config.transforms is not None and hasattr(kernel, "constrain"):
        _set_transforms(kernel, config.transforms)
    changed = [n for n, x in vars(kernel).items() if before.get(n, _ABSENT) is not x]
    try:
        yield
    finally:
        for name in changed:
            if name in before:
                vars(kernel)[name] = before[name]
            else:
                vars(kernel).pop(name, None)


def _set_transforms(kernel: Any, transforms: Any) -> None:
    if not hasattr(kernel, "transforms"):
        raise ArgumentError(
            f"{type(kernel).__name__} constrains its draws itself and has no attribute transforms: "
            "MCMC(transforms=...) cannot reach it; give the transforms to the kernel"
        )
    kernel.transforms = {**(kernel.transforms or {}), **transforms}
