#!/usr/bin/env python3
"""The front door: run the commands of this repository, given nothing but Python and pip.

    python3 tools/run.py                     list the commands
    python3 tools/run.py lint types          run some of them, one after the other
    python3 tools/run.py tests -- -k nuts    everything after -- goes to the command

The commands are the sessions of noxfile.py. This script keeps a virtual environment with the pinned
nox in ``.run/nox`` (made when missing or broken) and exits with the status of nox.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".run" / "nox"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = ROOT / "constraints.txt"

NO_VENV = """\
tools/run.py: Python could not make the virtual environment {environment}.
On Debian and Ubuntu the module is a package of its own: apt install python3-venv."""

NO_NOX = """\
tools/run.py: pip could not install nox=={version} (its own message stands above).
It needs a package index: check the network, and the proxy and index of `pip config list`.
Nothing has to be cleaned up; the next run starts the environment afresh."""


def main(arguments: list[str]) -> int:
    """Run the named sessions, or list them all, and return the exit status of nox."""
    if sys.version_info < (3, 10):  # noqa: UP036 - an older Python does get this far
        return complain(f"tools/run.py needs Python 3.10 or newer, not {sys.version.split()[0]}")
    sessions, rest = split_at_dashes(arguments)
    version = pinned_nox()
    if not has_nox(version):
        problem = install_nox(version)
        if problem:
            return complain(problem)
    request = ["--session", *sessions, *rest] if sessions else ["--list", *rest]
    return subprocess.call([PYTHON, "-m", "nox", "--noxfile", ROOT / "noxfile.py", *request])


def split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what stands before the first ``--``, and the rest from there on."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:cut], arguments[cut:]


def pinned_nox() -> str:
    """Return the version of nox that the constraints name."""
    pins = re.findall(r"^nox==(\S+)$", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    if len(pins) != 1:
        raise SystemExit(f"tools/run.py: {CONSTRAINTS} must pin nox once, found {pins}")
    return pins[0]


def has_nox(version: str) -> bool:
    """Return whether the environment runs this nox; one that was left half made does not."""
    try:
        answer = subprocess.run([PYTHON, "-m", "nox", "--version"], capture_output=True, text=True)
    except OSError:
        return False
    return answer.returncode == 0 and version in (answer.stdout + answer.stderr).split()


def install_nox(version: str) -> str | None:
    """Make the environment anew with nox in it; return what went wrong, if anything did."""
    try:
        venv.EnvBuilder(clear=True, with_pip=True).create(ENVIRONMENT)
    except (OSError, subprocess.CalledProcessError):
        return NO_VENV.format(environment=ENVIRONMENT)
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, "nox"]
    return None if subprocess.call(install) == 0 else NO_NOX.format(version=version)


def complain(message: str) -> int:
    """Print the message where errors go and return the status of a failure."""
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
