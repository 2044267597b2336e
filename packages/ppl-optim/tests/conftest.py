import pytest

from ppl.primitives import clear_param_store


@pytest.fixture(autouse=True)
def _empty_parameter_store():
    clear_param_store()
    yield
    clear_param_store()
