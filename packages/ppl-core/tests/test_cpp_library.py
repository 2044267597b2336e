"""C++ is compiled once for each machine, wherever there is a place and a compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

from ppl.engine import cpp_library

pytestmark = pytest.mark.skipif(
    cpp_library.find_compiler() is None, reason="there is no C++ compiler"
)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Return a source file; libraries go to the folder ``cache`` beside it."""
    monkeypatch.setenv("PPL_CACHE_DIR", str(tmp_path / "cache"))
    write(tmp_path, number=5)
    (tmp_path / "answer.cpp").write_text(
        '#include "number.hpp"\nextern "C" int answer() { return NUMBER; }'
    )
    return tmp_path / "answer.cpp"


def write(folder, number):
    (folder / "number.hpp").write_text(f"#define NUMBER {number}\n")


def load(source):
    """Load a library as a process does that has not loaded it yet."""
    return cpp_library.load.__wrapped__(source)


def fail(*args, **kwargs):
    pytest.fail("compiled")


def test_a_library_is_compiled_once_for_all_processes(source, monkeypatch):
    assert load(source).answer() == 5
    monkeypatch.setattr(cpp_library, "_compile", fail)
    assert load(source).answer() == 5


def test_a_header_that_changes_compiles_anew(source):
    load(source)
    write(source.parent, number=7)
    assert load(source).answer() == 7


def test_a_machine_with_other_instructions_compiles_anew(source, monkeypatch):
    load(source)
    monkeypatch.setattr(cpp_library, "_processor", lambda: "flags: few")
    load(source)
    assert len(list((source.parent / "cache").iterdir())) == 2


def test_an_error_shows_what_the_compiler_says_and_leaves_nothing_behind(source):
    source.write_text("int answer() { return unheard_of; }")
    with pytest.raises(OSError, match=r"could not compile answer\.cpp(.|\n)*unheard_of"):
        load(source)
    assert list((source.parent / "cache").iterdir()) == []


def test_without_a_compiler_the_error_says_what_to_install(source, monkeypatch):
    monkeypatch.setattr(cpp_library.shutil, "which", lambda name: None)
    with pytest.raises(OSError, match="no C.. compiler: install"):
        load(source)


def test_the_compiler_of_the_environment_comes_first(source, monkeypatch):
    mine = source.parent / "my-compiler"
    mine.write_text("#!/bin/sh\necho mine >&2\nexit 1\n")
    mine.chmod(0o755)
    monkeypatch.setenv("CXX", str(mine))
    with pytest.raises(OSError, match="my-compiler could not compile(.|\n)*mine"):
        load(source)


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("PPL_CACHE_DIR", ""), ("XDG_CACHE_HOME", "ppl"), ("HOME", ".cache/ppl")],
)
def test_the_environment_says_where_libraries_are_kept(source, monkeypatch, variable, folder):
    for other in ("PPL_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(source.parent / "elsewhere"))
    load(source)
    (library,) = (source.parent / "elsewhere" / folder).iterdir()
    assert library.match("answer-*.so")


def test_where_nothing_can_be_written_the_process_compiles_for_itself(source, monkeypatch):
    (source.parent / "file").touch()
    monkeypatch.setenv("PPL_CACHE_DIR", str(source.parent / "file" / "cache"))
    with pytest.warns(UserWarning, match=r"file.cache.*set \$PPL_CACHE_DIR"):
        library = load(source)
    assert library.answer() == 5
    assert not Path(library._name).is_relative_to(source.parent)


def test_a_damaged_library_is_made_anew(source):
    load(source)
    (library,) = (source.parent / "cache").iterdir()
    damaged = source.parent / "damaged"
    damaged.write_bytes(library.read_bytes()[:100])
    damaged.replace(library)  # this process has loaded the other file
    assert load(source).answer() == 5


def test_torch_keeps_nothing_in_a_folder_that_cannot_be_written_and_the_warning_names_it(
    source, monkeypatch
):
    (source.parent / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(source.parent / "file" / "torch"))
    with pytest.warns(UserWarning, match=r"file.torch.*set \$TORCHINDUCTOR_CACHE_DIR"):
        cpp_library.check_torch_cache.__wrapped__()
    assert Path(cpp_library.os.environ["TORCHINDUCTOR_CACHE_DIR"]).is_dir()


PROCESS = """
import pathlib, runpy, sys
load = runpy.run_path(sys.argv[1])["load"]  # without torch, which takes long to import
print(load(pathlib.Path(sys.argv[2])).answer())
"""


def test_processes_may_load_at_the_same_time(source):
    command = [sys.executable, "-c", PROCESS, cpp_library.__file__, str(source)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in started] == [b"5"] * 4
    assert len(list((source.parent / "cache").iterdir())) == 1
