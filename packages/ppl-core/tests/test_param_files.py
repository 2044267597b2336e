"""Parameter files: nothing in them is executed, and a bad one changes nothing."""

import os
import pickle
import stat
import sys
import zipfile

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

from ppl.errors import FileFormatError
from ppl.params import ParamStoreDict
from ppl.params.constraint_spec import from_spec, to_spec
from ppl.params.files import write_atomically
from ppl.primitives import clear_param_store, get_param_store, module

from .test_param_store import CONSTRAINED


class Home(constraints.Constraint):
    """A constraint of the user's own."""


@pytest.fixture
def store():
    store = ParamStoreDict()
    store["kept"] = torch.tensor(1.0)
    return store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "params.pt"


def test_all_parameters_survive_a_file(path):
    store, other = ParamStoreDict(), ParamStoreDict()
    for name, (constraint, value) in CONSTRAINED.items():
        store.setdefault(name, value, constraint)
    store.save(path)
    other.load(path)
    assert list(other) == list(store)
    for name, value in store.items():
        assert torch.equal(other[name], value)
        assert_close(other[name].unconstrained(), value.unconstrained())
        assert repr(other._constraints[name]) == repr(store._constraints[name])


def test_loading_replaces_everything(store, path):
    store.save(path)
    store["more"] = torch.tensor(2.0)
    store.load(os.fspath(path))
    assert list(store) == ["kept"]


def test_loaded_parameters_are_leaves_that_can_be_trained(store, path):
    store.save(path)
    store.load(path, map_location="cpu")
    store["kept"].square().backward()
    assert_close(store["kept"].unconstrained().grad, torch.tensor(2.0))


def test_a_file_holds_plain_tensors_and_constraint_names(store, path):
    store.setdefault("p", torch.ones(2), constraints.independent(constraints.interval(0, 2), 1))
    store.save(path)
    contents = torch.load(path, weights_only=True)
    assert contents["constraints"] == {
        "kept": ["real"],
        "p": ["independent", ["interval", 0, 2], 1],
    }
    assert contents["format"] == "ppl-params"
    assert contents["version"] == 1
    assert all(type(leaf) is torch.Tensor for leaf in contents["params"].values())


# bad files


class Malice:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def good_contents():
    return {
        "format": "ppl-params",
        "version": 1,
        "params": {"p": torch.ones(1)},
        "constraints": {"p": ["real"]},
    }


def changed(**changes):
    return lambda path: torch.save({**good_contents(), **changes}, path)


def without(key):
    return lambda path: torch.save({k: v for k, v in good_contents().items() if k != key}, path)


def truncated(path):
    torch.save(good_contents(), path)
    path.write_bytes(path.read_bytes()[:-200])


def program(path):
    """An archive of TorchScript, by the look of it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"archive/{name}", pickle.dumps(Malice(), protocol=2))
        archive.writestr("archive/version", "3")


BAD_FILES = {
    "truncated": (truncated, "truncated"),
    "empty": (lambda path: path.write_bytes(b""), "truncated"),
    "text": (lambda path: path.write_text("step_size = 0.1"), "cannot be read as plain tensors"),
    "malicious": (lambda path: torch.save(Malice(), path), "objects that could execute code"),
    "malicious pickle": (
        lambda path: path.write_bytes(pickle.dumps(Malice(), protocol=2)),
        "objects that could execute code",
    ),
    "malicious pickle of today": (
        lambda path: path.write_bytes(pickle.dumps(Malice())),
        "cannot be read as plain tensors",
    ),
    "malicious file of old": (
        lambda path: torch.save(Malice(), path, _use_new_zipfile_serialization=False),
        "objects that could execute code",
    ),
    "malicious program": (program, "cannot be read as plain tensors"),
    "malicious constraint": (changed(constraints={"p": Malice()}), "execute code"),
    "a tensor": (lambda path: torch.save(torch.ones(3), path), "not a parameter file of ppl"),
    "a state dict": (
        lambda path: torch.save(torch.nn.Linear(1, 1).state_dict(), path),
        "not a parameter file of ppl",
    ),
    "newer": (changed(version=2), "format version 2, this ppl reads 1; upgrade ppl-core"),
    "no version": (without("version"), "format version None"),
    "no params": (without("params"), "is damaged"),
    "no constraints": (without("constraints"), "is damaged"),
    "params of numbers": (changed(params={"p": 1.0}), "is damaged"),
    "other names": (changed(constraints={"q": ["real"]}), "is damaged"),
    "unknown constraint": (changed(constraints={"p": ["no_such"]}), "unknown constraint 'no_such'"),
    "private name": (changed(constraints={"p": ["__builtins__"]}), "unknown constraint"),
    "a function": (changed(constraints={"p": ["is_dependent", 1]}), "unknown constraint"),
    "no arguments": (changed(constraints={"p": ["interval"]}), "'interval' does not take"),
    "no list": (changed(constraints={"p": "real"}), "does not describe a constraint"),
    "nested no list": (
        changed(constraints={"p": ["independent", [], 1]}),
        "does not describe a constraint",
    ),
}


@pytest.mark.parametrize(("write", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_and_the_store_is_left_as_it_was(
    write, message, store, path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write(path)
    with pytest.raises(FileFormatError, match=message):
        store.load(path)
    assert list(store) == ["kept"]
    assert not os.path.exists("executed")


def test_a_file_that_is_not_there_is_an_os_error(store, path):
    with pytest.raises(FileNotFoundError):
        store.load(path)


# files of Pyro: states of the store with constraints as pickled objects


def trusted(path, **changes):
    """Write what Pyro writes, of constraints that torch has."""
    state = ParamStoreDict()
    for name, (constraint, value) in CONSTRAINED.items():
        state.setdefault(name, value, constraint)
    torch.save({**state.get_state(), **changes}, path)


def test_a_file_of_pyro_needs_trust(store, path):
    trusted(path)
    with pytest.raises(FileFormatError, match="if it is a file of Pyro.*with trust=True, which ex"):
        store.load(path)
    store.load(path, trust=True)
    assert list(store) == list(CONSTRAINED)
    for name, (constraint, value) in CONSTRAINED.items():
        assert_close(store[name], value)
        assert repr(store._constraints[name]) == repr(constraint)


def test_a_file_of_pyro_can_be_saved_as_one_of_ours(store, path):
    trusted(path)
    store.load(path, trust=True)
    expected = {name: value.detach() for name, value in store.items()}
    store.save(path)
    store.load(path)
    assert_close(dict(store.items()), expected)


def test_a_constraint_of_the_users_own_survives_trust(store, path):
    trusted(path, params={"p": torch.ones(1)}, constraints={"p": Home()})
    store.load(path, trust=True)
    assert isinstance(store._constraints["p"], Home)


def test_trust_does_not_matter_for_a_file_of_ours(store, path):
    store.save(path)
    store.load(path, trust=True)
    assert list(store) == ["kept"]


@pytest.mark.parametrize(
    "changes",
    [{"params": {"p": 1.0}}, {"params": None}, {"constraints": {"p": "real"}}, {"params": {}}],
    ids=["number", "none", "word", "other names"],
)
def test_a_trusted_file_of_another_kind_leaves_the_store_as_it_was(store, path, changes):
    trusted(path, **changes)
    with pytest.raises(FileFormatError, match="is not a parameter file of"):
        store.load(path, trust=True)
    assert list(store) == ["kept"]


def test_a_trusted_file_whose_modules_are_missing_says_so(store, path):
    path.write_bytes(pickle.dumps(constraints.real, protocol=0).replace(b"torch.", b"no_such."))
    with pytest.raises(FileFormatError, match="cannot be unpickled.*is everything installed"):
        store.load(path, trust=True)
    assert list(store) == ["kept"]


def test_without_trust_a_file_imports_nothing(store, path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_by_a_file.py").write_text("class Thing: ...")
    import imported_by_a_file

    torch.save({"params": imported_by_a_file.Thing()}, path)
    del sys.modules["imported_by_a_file"]
    with pytest.raises(FileFormatError, match="imported_by_a_file.Thing"):
        store.load(path)
    assert "imported_by_a_file" not in sys.modules


# devices and modules


def test_a_file_can_be_loaded_to_another_device(store, path):
    store.setdefault("p", torch.ones(2), constraints.interval(-1, torch.tensor([2.0, 3.0])))
    store.save(path)
    store.load(path, map_location="meta")
    assert {leaf.device.type for _, leaf in store.named_parameters()} == {"meta"}
    assert store["p"].device.type == "meta"
    assert store["p"].unconstrained().requires_grad


def test_a_module_gets_its_parameters_back_from_a_file(path):
    trained, fresh = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    module("net", trained)
    get_param_store().save(path)
    clear_param_store()
    get_param_store().load(path)
    module("net", fresh, update_module_params=True)
    assert_close(fresh.state_dict(), trained.state_dict())
    assert fresh.weight is get_param_store()["net$$$weight"]


# atomic writes


@pytest.fixture
def umask():
    """Only the group may read new files beside their owner."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no permissions of groups")
def test_a_new_file_has_the_permissions_of_any_new_file_and_an_old_one_keeps_its_own(store, path):
    store.save(path)
    assert permissions(path) == 0o640
    path.chmod(0o604)
    store.save(path)
    assert permissions(path) == 0o604


@pytest.mark.skipif(os.name == "nt", reason="Windows wants rights to make links")
def test_a_link_stays_a_link(store, path, tmp_path):
    link = tmp_path / "latest.pt"
    link.symlink_to(path)
    store.save(link)
    assert link.is_symlink()
    store.load(path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(store, path):
    store.save(path)
    before = path.read_bytes()
    store._constraints["kept"] = Home()
    with pytest.raises(FileFormatError, match="parameter 'kept'"):
        store.save(path)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        write_atomically(lambda: None, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_saving_again_replaces_the_file(store, path):
    store.save(path)
    store["kept"] = torch.tensor(2.0)
    store.save(path)
    store.load(path)
    assert_close(store["kept"].detach(), torch.tensor(2.0))
    assert os.listdir(path.parent) == [path.name]


# constraints as data


@pytest.mark.parametrize("name", CONSTRAINED)
def test_a_constraint_survives_its_spec(name):
    constraint, value = CONSTRAINED[name]
    spec = to_spec("p", constraint)
    again = from_spec("p", spec)
    assert repr(again) == repr(constraint)
    assert to_spec("p", again) == spec or any(isinstance(a, torch.Tensor) for a in spec)
    for x in (value, -value):
        assert torch.equal(again.check(x), constraint.check(x))


@pytest.mark.parametrize("name", CONSTRAINED)
def test_a_copied_constraint_has_the_spec_of_the_original(name):
    constraint, _ = CONSTRAINED[name]
    copied = to_spec("p", pickle.loads(pickle.dumps(constraint)))
    assert repr(from_spec("p", copied)) == repr(constraint)
    assert copied[0] == to_spec("p", constraint)[0] or copied[0] == "independent"


def test_specs_use_public_names_only():
    specs = [to_spec("p", constraint) for constraint, _ in CONSTRAINED.values()]
    assert not any(spec[0].startswith("_") for spec in specs)


@pytest.mark.parametrize(
    "constraint",
    [Home(), constraints.greater_than("zero"), constraints.cat([constraints.real, Home()])],
    ids=["of no module", "of a word", "of one of no module"],
)
def test_a_constraint_that_is_no_plain_data_is_refused(constraint):
    with pytest.raises(FileFormatError, match="parameter 'p'.*use get_state"):
        to_spec("p", constraint)
