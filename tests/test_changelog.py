"""What users are told about changes, and the versions that are written down twice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
FRAGMENTS = sorted(ROOT.glob("packages/*/changelog.d/*"))
CONFIGURATION = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TYPES = [kind["directory"] for kind in CONFIGURATION["tool"]["towncrier"]["type"]]


@pytest.mark.parametrize(
    "fragment", FRAGMENTS, ids=lambda path: f"{path.parent.parent.name}-{path.name}"
)
def test_a_fragment_is_named_after_its_issue_and_type_and_ends_its_sentence(fragment: Path) -> None:
    assert re.fullmatch(rf"\d+\.({'|'.join(TYPES)})(\.\d+)?\.md", fragment.name)
    assert fragment.read_text(encoding="utf-8").strip().endswith(".")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda path: path.name)
def test_a_changelog_can_be_assembled(distribution: Path) -> None:
    where = ["--config", str(ROOT / "pyproject.toml"), "--dir", str(distribution)]
    what = ["--draft", "--name", distribution.name, "--version", "9.9", "--date", "today"]
    command = [sys.executable, "-m", "towncrier", "build", *where, *what]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    expected = [
        "## 9.9 (today)",
        *(fragment.read_text().strip() for fragment in distribution.glob("changelog.d/*.md")),
    ]
    shown = " ".join(answer.stdout.split())
    assert all(" ".join(text.split()) in shown for text in expected)
    assert "<!-- new releases below -->\n" in (distribution / "CHANGELOG.md").read_text()


def test_pre_commit_runs_the_pinned_ruff() -> None:
    pins = re.findall(r"ruff==[\d.]+", (ROOT / ".pre-commit-config.yaml").read_text())
    assert set(pins) == set(re.findall(r"^ruff==.*$", (ROOT / "constraints.txt").read_text(), re.M))


def test_the_root_reports_the_version_of_its_distribution() -> None:
    import ppl

    project = tomli.loads((ROOT / "packages/ppl-core/pyproject.toml").read_text())["project"]
    assert ppl.__version__ == project["version"]
