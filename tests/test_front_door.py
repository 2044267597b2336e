"""``tools/run.py`` needs Python and pip, and says what to do when one of them does not work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools import run


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of the environment with nox, where there is none yet."""
    folder = tmp_path / "nox"
    monkeypatch.setattr(run, "ENVIRONMENT", folder)
    monkeypatch.setattr(run, "PYTHON", folder / run.PYTHON.relative_to(run.ROOT / ".run" / "nox"))
    return folder


def stand_in(environment: Path, text: str) -> None:
    """Put a script where the interpreter of the environment belongs."""
    run.PYTHON.parent.mkdir(parents=True)
    run.PYTHON.write_text(f"#!{sys.executable}\n{text}")
    run.PYTHON.chmod(0o755)


def test_what_follows_the_dashes_is_left_alone() -> None:
    assert run.split_at_dashes(["lint", "types"]) == (["lint", "types"], [])
    assert run.split_at_dashes(["tests", "--", "-k", "a", "--", "b"]) == (
        ["tests"],
        ["--", "-k", "a", "--", "b"],
    )


def test_an_environment_without_an_interpreter_has_no_nox(environment: Path) -> None:
    assert not run.has_nox(run.pinned_nox())


@pytest.mark.parametrize("text", ["raise SystemExit(1)", "print('2020.1.1')", "import no_such"])
def test_a_broken_or_an_old_environment_has_no_nox(environment: Path, text: str) -> None:
    stand_in(environment, text)
    assert not run.has_nox(run.pinned_nox())


def test_the_pinned_nox_is_recognized(environment: Path) -> None:
    stand_in(environment, f"print('{run.pinned_nox()}')")
    assert run.has_nox(run.pinned_nox())


def test_a_pip_that_fails_is_explained(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(environment)}.items():
        monkeypatch.setenv(name, value)
    assert run.main(["lint"]) == 1
    assert "pip could not install nox" in capsys.readouterr().err


def test_a_python_that_cannot_make_environments_is_explained(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.write_text("a file where the folder belongs")
    assert run.main(["lint"]) == 1
    assert "could not make the virtual environment" in capsys.readouterr().err


def test_sessions_arguments_and_the_exit_status_go_through(
    environment: Path, tmp_path: Path
) -> None:
    stand_in(
        environment,
        f"import sys\nif '--version' in sys.argv: print('{run.pinned_nox()}')\n"
        f"else: open({str(tmp_path / 'seen')!r}, 'w').write(' '.join(sys.argv[3:])); sys.exit(7)",
    )
    assert run.main(["tests", "lint", "--", "-k", "x"]) == 7
    seen = (tmp_path / "seen").read_text()
    assert seen == f"--noxfile {run.ROOT / 'noxfile.py'} --session tests lint -- -k x"
    assert run.main([]) == 7
    assert (tmp_path / "seen").read_text().endswith("--list")


def test_it_needs_the_standard_library_alone() -> None:
    answer = subprocess.run([sys.executable, "-S", "-c", "import tools.run"], cwd=run.ROOT)
    assert answer.returncode == 0
