"""Data of another dtype than the parameters, and arrays among tensors: who, which, what to write.

The law that was missing: where torch refuses a mixture, the error names what has which dtype.
"""

import numpy as np
import pytest
import torch
from torch import nn

import ppl.poutine as poutine
from ppl.errors import DtypeError, PPLError
from ppl.primitives import param, sample

from .distribution.families import MultivariateNormal, Normal

X = np.ones((3, 2))  # float64, as pandas and numpy have it


class Column:
    """A table of pandas, as far as a model sees one."""

    __array_priority__ = 10

    def to_numpy(self):
        return X

    def __rmatmul__(self, other):
        return np.asarray(other) @ X.T


def of_param(x):
    return param("w", torch.zeros(2)) @ (x if isinstance(x, Column) else x.T)


def of_sample(x):
    w = sample("w", Normal(torch.zeros(2), 1.0).to_event(1))
    return x @ w.requires_grad_()


def of_layer(x):
    return nn.Linear(2, 1)(x)


MIXED = {
    (of_param, "tensor"): r"float32: site 'w'; float64: argument x",
    (of_sample, "tensor"): r"float32: site 'w'; float64: argument x",
    (of_layer, "tensor"): r"float32: the default of torch; float64: argument x",
    (of_param, "array"): "argument x is no tensor",
    (of_sample, "array"): "argument x is no tensor",
    (of_layer, "array"): "argument x is no tensor",
    (of_param, "column"): "argument x is no tensor",
    (of_layer, "column"): "argument x is no tensor",
}
DATA = {"tensor": torch.as_tensor(X), "array": X, "column": Column()}


@pytest.mark.parametrize(("program", "kind"), MIXED, ids=lambda x: getattr(x, "__name__", x))
def test_a_product_with_other_data_says_what_to_convert(program, kind):
    with pytest.raises((RuntimeError, TypeError)) as caught:
        poutine.trace(program).get_trace(DATA[kind])
    message = str(caught.value)
    assert MIXED[program, kind] in message
    assert "torch.as_tensor(x, dtype=torch.get_default_dtype())" in message
    assert __file__ in message  # the line


@pytest.mark.parametrize("pack", [lambda x: [x], lambda x: {"a": x}], ids=["list", "dict"])
def test_arguments_in_a_collection_are_named_too(pack):
    def program(data):
        (x,) = data.values() if isinstance(data, dict) else data
        return of_param(x)

    with pytest.raises(RuntimeError, match=r"float64: argument data\["):
        poutine.trace(program).get_trace(pack(DATA["tensor"]))


def test_a_distribution_of_two_dtypes_is_named_with_its_site():
    loc = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"site 'y' cannot be drawn.*float64: loc"):
        poutine.trace(lambda: sample("y", MultivariateNormal(loc, torch.eye(2)))).get_trace()


class Strict(Normal):
    """A density that, like many of torch, does not convert."""

    def log_prob(self, value):
        return torch.dot(value.reshape(1), self.loc.reshape(1))


def test_a_density_that_does_not_convert_names_site_and_dtypes():
    def program():
        sample("y", Strict(torch.ones(()), 1.0), obs=torch.ones((), dtype=torch.float64))

    with pytest.raises(DtypeError, match="site 'y'.*") as caught:
        poutine.trace(program).get_trace().compute_log_prob()
    assert isinstance(caught.value, (PPLError, TypeError, RuntimeError, ValueError))
    assert "float32: loc, scale; float64: the value" in str(caught.value)
    assert "obs.to(torch.float32)" in str(caught.value)


def test_an_observed_list_of_tensors_keeps_its_gradient():
    a = torch.tensor(1.0, requires_grad=True)
    program = poutine.trace(lambda: sample("y", Normal(torch.zeros(2), 1.0), obs=[a, 2.0 * a]))
    program.get_trace().log_prob_sum().backward()
    torch.testing.assert_close(a.grad, torch.tensor(-5.0))  # of -(a**2 + 4 a**2) / 2


def test_an_array_that_cannot_be_written_is_observed_without_a_warning(recwarn):
    array = np.ones(2)
    array.flags.writeable = False
    poutine.trace(lambda: sample("y", Normal(torch.zeros(2), 1.0), obs=array)).get_trace()
    assert not recwarn.list
