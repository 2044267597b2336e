"""The commands of this repository; ``python3 tools/run.py`` lists and runs them.

All sessions share one environment below ``.run``: the pinned tools and every distribution,
editable. The first session fills it; so does the next one after a pin, a dependency or an entry
point has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".run" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = ROOT / "constraints.txt"
SOURCES = [str(path) for path in sorted(ROOT.glob("packages/*/src"))]
DISTRIBUTIONS = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
PLUGINS = sorted(path.parent for path in ROOT.glob("tests/plugins/*/pyproject.toml"))

BUILD_TOOLS = ["hatchling", "editables", "build"]
TEST_TOOLS = ["pytest", "pytest-xdist", "pytest-cov", "scipy", "arviz", "h5netcdf", "zarr"]
CHECK_TOOLS = ["ruff", "mypy", "import-linter", "towncrier", "types-tqdm", "tomli"]
DOCS_TOOLS = ["sphinx", "sphinx-copybutton", "furo", "myst-parser"]
TOOLS = [*BUILD_TOOLS, *TEST_TOOLS, *CHECK_TOOLS, *DOCS_TOOLS]
VERIFIER = ["pyright[nodejs]"]  # with node, which pyright would download at its first run

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # small tensors lose more time to threads than they gain
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # tests start hundreds of interpreters

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests", "docs"]
session = nox.session(venv_backend="none")


@session
def tests(session: nox.Session) -> None:
    """Run all tests, the doctests of the sources and the code blocks of the READMEs and docs."""
    pytest(session)


@session
def posteriors(session: nox.Session) -> None:
    """Compare NUTS with all reference posteriors in every mode, which takes hours."""
    prepare(session)
    options = ("-rA", "-n", "2", "--dist", "worksteal", "--every-mode")
    run(session, "pytest", "tests/posteriors", *options, *session.posargs, env=ONE_THREAD)


@session
def coverage(session: nox.Session) -> None:
    """Run the tests and report the lines that none of them reaches."""
    pytest(session, "--cov=ppl", "--cov-report=term-missing:skip-covered")


@session
def lint(session: nox.Session) -> None:
    """Check style and format, and which distribution imports which."""
    prepare(session)
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    view = str(Path(session.create_tmp()) / "merged_view")
    script(session, "tools/merged_view.py", view)
    lint_imports = str(PYTHON.with_name("lint-imports"))
    session.run(lint_imports, "--no-logo", env={"PYTHONPATH": view}, external=True)


@session
def types(session: nox.Session) -> None:
    """Type-check the sources and the programs of tests/typing."""
    prepare(session)
    run(session, "mypy", *SOURCES, "tests/typing", env={"MYPYPATH": os.pathsep.join(SOURCES)})


@session
def public_types(session: nox.Session) -> None:
    """Measure how much of the public types of each distribution is written down."""
    prepare(session)
    install(session, *VERIFIER)
    run(session, "tools.public_types")


@session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    prepare(session)
    output = "docs/_build/html"
    run(session, "sphinx", "--fail-on-warning", "--keep-going", "-E", "-q", "docs", output)
    session.log(f"open {output}/index.html")


@session
def demo(session: nox.Session) -> None:
    """Run the demonstration: models, inference, predictions and pictures."""
    prepare(session)
    script(session, "tools/demo.py", *session.posargs, env=ONE_THREAD)


@session
def bench(session: nox.Session) -> None:
    """Run benchmarks: bench -- import_time (a script of tools/bench, then its arguments)."""
    available = sorted(path.stem for path in ROOT.glob("tools/bench/*.py"))
    name, *arguments = session.posargs or [""]
    if name not in available:
        session.error(f"name one benchmark after --, out of: {', '.join(available)}")
    prepare(session)
    script(session, f"tools/bench/{name}.py", *arguments, env=ONE_THREAD)


@session
def wheels(session: nox.Session) -> None:
    """Build every wheel and try them in fresh environments that do not see this checkout."""
    prepare(session)
    folder = Path(session.create_tmp()) / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    for project in [*DISTRIBUTIONS, *PLUGINS]:
        build = ["--wheel", "--no-isolation", "--outdir", str(folder), str(project)]
        run(session, "build", *build, silent=True)
    run(session, "pytest", "tests/packaging", "--wheels", str(folder), *session.posargs)


def pytest(session: nox.Session, *options: str) -> None:
    """Run pytest, two workers of one torch thread each, over the paths after ``--`` or over all."""
    prepare(session)
    named = any(Path(word.split("::")[0]).exists() for word in session.posargs)
    paths = [] if named else ["packages", "tests"]
    options = ("--doctest-modules", "-n", "2", "--dist", "worksteal", *options)
    run(session, "pytest", *options, *paths, *session.posargs, env={**ONE_THREAD, **BYTECODE})


def prepare(session: nox.Session) -> None:
    """Bring the shared environment up to date: tools, then all distributions in one command."""
    state, stamp = fingerprint(), ENVIRONMENT / "installed"
    if stamp.exists() and stamp.read_text() == state:
        return
    if not stamp.exists():  # nothing there, or an installation that was cut off
        session.run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT), external=True)
    stamp.unlink(missing_ok=True)
    editables = [word for path in DISTRIBUTIONS for word in ("--editable", requirement(path))]
    install(session, *TOOLS)
    install(session, "--no-build-isolation", *editables)
    stamp.write_text(state)


def requirement(distribution: Path) -> str:
    """Return what pip is asked for: the folder, and for the meta-distribution its plots too."""
    return f"{distribution}[viz]" if distribution.name == "ppl-all" else str(distribution)


def fingerprint() -> str:
    """Return a digest of everything that decides what the environment holds."""
    files = [CONSTRAINTS, Path(__file__), *(path / "pyproject.toml" for path in DISTRIBUTIONS)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def install(session: nox.Session, *requirements: str) -> None:
    """Install under the constraints; an unconstrained torch would pull gigabytes of CUDA."""
    run(session, "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), *requirements)


def run(
    session: nox.Session,
    module: str,
    *arguments: str,
    env: dict[str, str] | None = None,
    silent: bool = False,
) -> None:
    """Run a module of the shared environment, as ``python -m`` does."""
    session.run(str(PYTHON), "-m", module, *arguments, env=env, silent=silent, external=True)


def script(
    session: nox.Session, path: str, *arguments: str, env: dict[str, str] | None = None
) -> None:
    """Run a script of this repository in the shared environment."""
    session.run(str(PYTHON), path, *arguments, env=env, external=True)
