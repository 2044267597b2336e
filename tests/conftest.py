"""What pytest collects below tests/, and the options of tests/packaging and tests/posteriors."""

from __future__ import annotations

from pathlib import Path

import pytest

collect_ignore = ["plugins", "typing"]  # projects of their own; programs that are only type-checked


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--wheels``, the folder that ``nox -s wheels`` has filled, and ``--every-mode``."""
    parser.addoption("--wheels", type=Path, help="run tests/packaging on the wheels of this folder")
    parser.addoption(
        "--every-mode", action="store_true", help="run NUTS on each posterior in each mode (hours)"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/packaging out unless there are wheels to test."""
    is_packaging = collection_path == Path(__file__).parent / "packaging"
    return True if is_packaging and config.getoption("--wheels") is None else None
