"""Every test starts from a fixed seed and an empty parameter store."""

import pytest

from ppl.primitives import get_param_store
from ppl.util import set_rng_seed


@pytest.fixture(autouse=True)
def _fresh_state():
    set_rng_seed(0)
    with get_param_store().scope():
        yield
