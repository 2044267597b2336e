"""The house: which distribution may import which, and who owns which path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools.arrows import declared_dependencies
from tools.merged_view import build, conflicts, owners

from ppl import plugins

ROOT = Path(__file__).resolve().parent.parent
ARROWS = {
    "ppl-core": set(),
    "ppl-distributions": {"ppl-core"},
    "ppl-optim": {"ppl-core"},
    "ppl-infer": {"ppl-core", "ppl-distributions"},
    "ppl-infer-svi": {"ppl-core", "ppl-distributions", "ppl-infer", "ppl-optim"},
    "ppl-infer-mcmc": {"ppl-core", "ppl-distributions", "ppl-infer"},
    "ppl-autoguide": {"ppl-core", "ppl-distributions", "ppl-infer"},
    "ppl-contrib-flows": {"ppl-core", "ppl-distributions"},
}


def test_the_declared_dependencies_are_the_arrows_of_the_design() -> None:
    assert declared_dependencies() == ARROWS | {"ppl-all": set(ARROWS)}


def test_the_core_knows_our_distributions_from_those_of_strangers() -> None:
    assert set(plugins.DISTRIBUTIONS) == set(declared_dependencies())


def test_no_path_has_two_owners() -> None:
    assert conflicts(owners(ROOT / "packages")) == []


@pytest.mark.parametrize(
    "root",
    ["ppl-core/src/ppl", "ppl-distributions/src/ppl/ops", "ppl-infer/src/ppl/infer"],
)
def test_a_shared_package_extends_its_path_as_type_checkers_understand_it(root: str) -> None:
    text = (ROOT / "packages" / root / "__init__.py").read_text(encoding="utf-8")
    assert '\n__path__ = __import__("pkgutil").extend_path(__path__, __name__)' in text


def test_contrib_has_no_owner() -> None:
    """So that any distribution, also a stranger's, can add a package to it."""
    assert Path("ppl/contrib/__init__.py") not in owners(ROOT / "packages")


def test_a_path_with_two_owners_is_reported_with_both(tmp_path: Path) -> None:
    files = [tmp_path / name / "src" / "ppl" / "same.py" for name in ("one", "two")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    (line,) = conflicts(owners(tmp_path))
    assert all(str(file) in line for file in files)


def test_the_merged_view_holds_every_file_of_every_distribution(tmp_path: Path) -> None:
    found = owners(ROOT / "packages")
    build(found, tmp_path / "view")
    assert {path: [(tmp_path / "view" / path).resolve()] for path in found} == found


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("import ppl.distributions", "ppl-core does not declare ppl-distributions"),
        ("from ppl import distributions", "ppl-core does not declare ppl-distributions"),
        ("from ppl import sample", "imports the bare root"),
        ("import ppl", "imports the bare root"),
        ("def later():\n    import ppl.infer", "ppl-core does not declare ppl-infer"),
    ],
)
def test_the_contracts_refuse_a_stray_import(line: str, complaint: str, tmp_path: Path) -> None:
    for module in ["__init__", "distributions/__init__", "infer/__init__"]:
        write(tmp_path, module)
    write(tmp_path, "errors", line)
    assert complaint in complaints(tmp_path)


@pytest.mark.parametrize(
    "files, complaint",
    [
        ({"target/a": "import ppl.infer.mcmc.chains"}, "chains is not below target"),
        ({"hmc": "import ppl.infer.mcmc.nuts"}, "nuts is not below hmc"),
        ({"attic": ""}, "attic is on no floor"),
        ({f"target/{a}": f"import ppl.infer.mcmc.target.{b}" for a, b in ["ab", "ba"]}, "a circle"),
    ],
)
def test_the_contracts_refuse_stairs_that_lead_up(
    files: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    names = ["__init__", "infer/__init__", "infer/mcmc/__init__"]
    for name in [*names, *(f"infer/mcmc/{n}" for n in ("chains", "nuts"))]:
        write(tmp_path, name)
    write(tmp_path, "infer/mcmc/target/__init__")
    for name, text in files.items():
        write(tmp_path, f"infer/mcmc/{name}", text)
    assert complaint in complaints(tmp_path)


def write(root: Path, module: str, text: str = "") -> None:
    file = root / "ppl" / f"{module}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def complaints(root: Path) -> str:
    """Return what import-linter says of a tree of modules that breaks a contract."""
    linter = Path(sys.executable).with_name("lint-imports")
    command = [str(linter), "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(ROOT)])}
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert answer.returncode == 1
    return " ".join(answer.stdout.split())


def test_no_module_of_the_sampler_or_the_engine_is_long() -> None:
    rooms = ["ppl-infer-mcmc/src/ppl/infer/mcmc", "ppl-core/src/ppl/engine"]
    files = [file for room in rooms for file in (ROOT / "packages" / room).rglob("*.py")]
    lengths = {file.name: len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: n for name, n in lengths.items() if n > 300} == {}
