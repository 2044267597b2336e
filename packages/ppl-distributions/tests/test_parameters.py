"""Parameters are brought to one shape as torch does it."""

import pytest
import torch
from torch.distributions.utils import broadcast_all
from torch.testing import assert_close

from ppl.distributions.parameters import broadcast_parameters

SCALAR, ROW, COLUMN = torch.tensor(2.0), torch.ones(3), torch.ones(2, 1)
DOUBLE, WHOLE = torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.int64)


@pytest.mark.parametrize(
    "values",
    [
        (1.0, 2),
        (SCALAR, 1),
        (True, DOUBLE),
        (ROW, COLUMN),
        (ROW, 0.5, COLUMN),
        (DOUBLE, ROW),
        (WHOLE, 2),
        (SCALAR, ROW, 3.0),
    ],
    ids=str,
)
def test_the_result_is_that_of_broadcast_all(values):
    for ours, theirs in zip(broadcast_parameters(*values), broadcast_all(*values), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)


def test_what_is_neither_number_nor_tensor_is_refused():
    with pytest.raises(ValueError, match="Number"):
        broadcast_parameters(SCALAR, "2")
    with pytest.raises(ValueError, match="Number"):
        broadcast_parameters("2", 1.0)
