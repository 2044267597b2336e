"""What pytest collects below tests/, and the option that hands wheels to tests/packaging."""

from __future__ import annotations

from pathlib import Path

import pytest

collect_ignore = ["plugins", "typing"]  # projects of their own; programs that are only type-checked


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--wheels``: the folder that ``nox -s wheels`` has filled."""
    parser.addoption("--wheels", type=Path, help="run tests/packaging on the wheels of this folder")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/packaging out unless there are wheels to test."""
    is_packaging = collection_path == Path(__file__).parent / "packaging"
    return True if is_packaging and config.getoption("--wheels") is None else None
