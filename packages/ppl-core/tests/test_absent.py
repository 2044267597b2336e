"""What is not installed says what to install, however it is imported."""

import importlib
import sys

import pytest

from ppl.absent import AbsentFinder, announce, is_installed
from ppl.errors import MissingDistributionError


@pytest.fixture
def finder():
    found = next(f for f in sys.meta_path if isinstance(f, AbsentFinder))
    before = dict(found.providers)
    announce("ppl", {"no_such_part": "ppl-no-such-part"})
    yield found
    found.providers = before


def test_an_import_of_an_absent_part_names_its_distribution(finder):
    with pytest.raises(MissingDistributionError, match="pip install ppl-no-such-part") as error:
        importlib.import_module("ppl.no_such_part")
    assert isinstance(error.value, ModuleNotFoundError)
    with pytest.raises(ImportError, match="pip install ppl-no-such-part"):
        from ppl.no_such_part import Thing  # noqa: F401


def test_an_absent_part_does_not_count_as_installed(finder):
    assert not is_installed("ppl.no_such_part")
    assert is_installed("ppl.poutine")


def test_other_modules_are_not_the_finders_business(finder):
    assert finder.find_spec("ppl.unheard_of") is None
    assert not is_installed("ppl.unheard_of.part")


def test_optimizers_and_inference_are_known(finder):
    assert finder.providers["ppl.optim"] == "ppl-optim"
    assert finder.providers["ppl.infer"] == "ppl-infer"
