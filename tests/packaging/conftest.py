"""Fresh environments for the wheels, without this checkout and without downloading torch each time.

Every test environment is a virtual environment of its own, layered on one base environment by a
``.pth`` file that names the site-packages of the base. The base holds what ppl-core requires, which
is torch and numpy, and nothing else: no distribution of ours, no tool, no editable install.
(``--system-site-packages`` would not do: it shows the packages of the interpreter behind the
environment of nox, not a set that we choose.) Pip then resolves the rest from the wheels alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
# Nothing that the developer has set may reach into the test environments.
CLEAN = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout and capture what it prints."""
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=CLEAN
    )


@dataclass(frozen=True)
class Wheel:
    """A built wheel: its file and what its metadata says."""

    path: Path

    def files(self) -> list[str]:
        """Return the paths that it installs, without its own metadata."""
        with zipfile.ZipFile(self.path) as archive:
            return [name for name in archive.namelist() if ".dist-info/" not in name]

    def metadata(self) -> Message:
        """Return the core metadata."""
        with zipfile.ZipFile(self.path) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
            return Parser().parsestr(archive.read(name).decode())

    @property
    def name(self) -> str:
        """The name of the distribution."""
        return str(self.metadata()["Name"])

    def requirements(self) -> list[str]:
        """Return the requirements, without those of extras."""
        found: list[str] = self.metadata().get_all("Requires-Dist") or []
        return [line for line in found if "extra ==" not in line]


@dataclass(frozen=True)
class Environment:
    """A virtual environment that sees the base and what was installed into it."""

    folder: Path
    wheels: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def install(self, *requirements: str) -> None:
        """Install from the folder of wheels, and from nowhere else."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        answer = run(
            *pip, "--no-index", "--find-links", self.wheels, *requirements, cwd=self.folder
        )
        assert answer.returncode == 0, answer.stderr

    def uninstall(self, *names: str) -> None:
        """Remove distributions."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "uninstall", "--yes"]
        answer = run(*pip, *names, cwd=self.folder)
        assert answer.returncode == 0, answer.stderr

    def run(self, program: str) -> str:
        """Run a program that succeeds and return what it prints."""
        answer = run(self.python, "-c", program, cwd=self.folder)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout


def site_packages(folder: Path) -> Path:
    """Return where an environment keeps its packages."""
    (found,) = {*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")}
    return found


@pytest.fixture(scope="session")
def folder_of_wheels(pytestconfig: pytest.Config) -> Path:
    """Return the folder of built wheels, with those of the small libraries that they require."""
    folder: Path = pytestconfig.getoption("--wheels").resolve()
    ours, core = map(Wheel, sorted(folder.glob("ppl*.whl"))), core_wheel(folder)
    wanted = {line for wheel in ours for line in wheel.requirements() if not is_ours(line)}
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    libraries = sorted(wanted - set(core.requirements()))
    answer = run(*download, "-c", CONSTRAINTS, "-d", folder, *libraries, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="session")
def wheels(folder_of_wheels: Path) -> dict[str, Wheel]:
    """Return the wheels of this repository by name, without those of the test plugins."""
    names = {path.name for path in ROOT.glob("packages/*")}
    found = map(Wheel, sorted(folder_of_wheels.glob("ppl*.whl")))
    return {wheel.name: wheel for wheel in found if wheel.name in names}


@pytest.fixture(scope="session")
def base(folder_of_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the environment with what ppl-core requires, which all others see."""
    folder = tmp_path_factory.mktemp("base")
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    environment = Environment(folder, folder_of_wheels)
    requirements = core_wheel(folder_of_wheels).requirements()
    pip = [sys.executable, "-m", "pip", "--python", environment.python, "install", "--quiet"]
    answer = run(*pip, "-c", CONSTRAINTS, *requirements, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="session")
def fresh(
    base: Path, folder_of_wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Environment]:
    """Return a function that makes a fresh environment with these distributions installed."""

    def make(*requirements: str) -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
        (site_packages(folder) / "base.pth").write_text(f"{site_packages(base)}\n")
        environment = Environment(folder, folder_of_wheels)
        environment.install(*requirements)
        return environment

    return make


def core_wheel(folder: Path) -> Wheel:
    """Return the wheel of ppl-core."""
    (path,) = folder.glob("ppl_core-*.whl")
    return Wheel(path)


def is_ours(requirement: str) -> bool:
    """Return whether a requirement names a distribution of this repository."""
    return re.match(r"ppl(-[a-z-]+)?(?![\w-])", requirement) is not None
