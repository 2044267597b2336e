"""Every law for every family."""

import pytest

from ppl.distributions.testing import LAWS, laws_of

from .cases import CASES


@pytest.mark.parametrize("case,law", [(c, law) for c in CASES for law in laws_of(c)], ids=str)
def test_law(case, law):
    LAWS[law](case)
