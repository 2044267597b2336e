"""Parameter files with the constraints of ppl-distributions, and files of Pyro."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import constraints
from ppl.errors import FileFormatError
from ppl.params import ParamStoreDict
from ppl.params.constraint_spec import from_spec, to_spec

OF_PYRO = Path(__file__).parent / "data" / "pyro-1.9.2.params"
PUBLIC = {
    name: known
    for name, known in vars(constraints).items()
    if not name.startswith("_") and isinstance(known, constraints.Constraint)
}


def has_free_values(constraint: constraints.Constraint) -> bool:
    """Return whether a parameter can have the constraint."""
    try:
        dist.transform_to(constraint)
    except NotImplementedError:
        return False
    return True


CONSTRAINED = {name: known for name, known in PUBLIC.items() if has_free_values(known)}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_constraint_is_written_by_name_and_read_as_itself(name: str) -> None:
    assert from_spec("p", to_spec("p", PUBLIC[name])) is PUBLIC[name]


@pytest.mark.parametrize("name", CONSTRAINED)
def test_a_parameter_with_any_constraint_survives_a_file(name: str, tmp_path: Path) -> None:
    constraint = CONSTRAINED[name]
    transform = dist.transform_to(constraint)
    value = transform(torch.randn(transform.inverse_shape((3, 3)), dtype=torch.float64))
    store = ParamStoreDict()
    store.setdefault("p", value, constraint)
    store.save(tmp_path / "params.pt")
    other = ParamStoreDict()
    other.load(tmp_path / "params.pt")
    assert torch.equal(other["p"], store["p"])
    assert_close(other["p"], value)


def test_a_file_of_pyro_is_refused_without_trust() -> None:
    store = ParamStoreDict()
    with pytest.raises(FileFormatError, match="file of Pyro.*trust=True, which executes any code"):
        store.load(OF_PYRO)
    assert not store


def test_a_file_of_pyro_has_its_values_and_constraints(tmp_path: Path) -> None:
    store = ParamStoreDict()
    store.load(OF_PYRO, trust=True)
    assert_close(dict(store.items()), expected(), atol=1e-4, rtol=1e-4)
    kinds = {name: to_spec(name, store._constraints[name])[0] for name in store}
    assert kinds == {
        "loc": "real",
        "scale": "positive",
        "probs": "simplex",
        "angle": "interval",
        "rows": "positive",
        "softplus": "softplus_positive",
        "ordered": "ordered_vector",
        "factor": "softplus_lower_cholesky",
        "net$$$weight": "real",
        "net$$$bias": "real",
    }
    store.save(tmp_path / "params.pt")
    store.load(tmp_path / "params.pt")
    assert_close(dict(store.items()), expected(), atol=1e-4, rtol=1e-4)


def expected() -> dict[str, Tensor]:
    """Return what Pyro printed as the values of the file."""
    return {
        "loc": torch.tensor([1.0, -2.0]),
        "scale": torch.tensor([0.5, 2.0]),
        "probs": torch.tensor([0.2, 0.3, 0.5]),
        "angle": torch.tensor([0.25, 0.75]),
        "rows": torch.full((2, 2), 0.5),
        "softplus": torch.tensor([0.5, 2.0]),
        "ordered": torch.tensor([0.5, 2.0]),
        "factor": torch.tensor([[1.0, 0.0], [0.5, 2.0]]),
        "net$$$weight": torch.tensor([[-0.0053, 0.3793]]),
        "net$$$bias": torch.tensor([-0.5820]),
    }
