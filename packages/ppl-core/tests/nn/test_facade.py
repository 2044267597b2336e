"""What ppl.nn says of networks that another distribution ships."""

import importlib
import sys
from pathlib import Path

import pytest

from ppl import nn
from ppl.errors import AbsentAttributeError

NAMES = ["AutoRegressiveNN", "ConditionalDenseNN", "DenseNN", "MaskedLinear", "dense_nn"]


@pytest.fixture
def _alone(monkeypatch):
    """Pretend that ppl-core is all that is installed."""
    monkeypatch.setattr(nn, "__path__", [str(Path(nn.__file__).parent)])
    for module in ("auto_reg_nn", "dense_nn"):
        monkeypatch.delitem(sys.modules, f"ppl.nn.{module}", raising=False)
        monkeypatch.delitem(vars(nn), module, raising=False)
    importlib.invalidate_caches()


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_is_not_installed_names_its_distribution(name):
    with pytest.raises(AbsentAttributeError, match=f"ppl.nn.{name} .*ppl-contrib-flows"):
        getattr(nn, name)
    assert not hasattr(nn, name)
    assert name not in dir(nn)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="'PyroModle'; did you mean 'PyroModule'"):
        nn.PyroModle  # noqa: B018
