"""The numerical inverse of increasing functions."""

import math

import pytest
import scipy.special
import torch
from torch.testing import assert_close

from ppl.contrib.flows import increasing_root

FUNCTIONS = {  # value, log slope, and the inverse
    "cubic": (lambda x: (x**3 + x, (3 * x**2 + 1).log()), None),
    "exponential": (lambda x: (x.exp(), x), torch.log),
    "sinh": (lambda x: (x.sinh(), x.cosh().log()), torch.asinh),
    "arctangent": (lambda x: (x.atan(), -(x.square()).log1p()), torch.tan),
    "steep": (lambda x: (x * 1e6, torch.full_like(x, math.log(1e6))), lambda y: y / 1e6),
    "flat": (lambda x: (x * 1e-6, torch.full_like(x, math.log(1e-6))), lambda y: y / 1e-6),
    "bent": (
        lambda x: (torch.where(x < 0, x / 100, x), torch.where(x < 0, 0.01, 1.0).log()),
        lambda y: torch.where(y < 0, 100 * y, y),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_root_is_the_inverse(name):
    function, inverse = FUNCTIONS[name]
    target = torch.tensor([0.01, 0.3, 1.0, 1.5], dtype=torch.float64)
    root = increasing_root(function, target)
    assert_close(function(root)[0], target, rtol=1e-14, atol=0)
    if inverse is not None:
        assert_close(root, inverse(target), rtol=1e-12, atol=1e-15)


def test_magnitudes_from_tiny_to_huge_are_found_to_all_digits():
    target = torch.tensor([-1e12, -1.0, -1e-8, 0.0, 1e-12, 1e3, 1e15], dtype=torch.float64)
    root = increasing_root(lambda x: (2 * x, torch.full_like(x, math.log(2))), target)
    assert_close(root, target / 2, rtol=1e-15, atol=1e-25)


def test_what_is_not_reached_is_nan():
    target = torch.tensor([-2.0, 0.0, 2.0])
    root = increasing_root(lambda x: (x.tanh(), -2 * x.cosh().log()), target)
    assert root.isnan().tolist() == [True, False, True]


def test_a_function_that_overflows_has_roots():
    target = torch.tensor([-3.0, 5.0])  # float32, in which 1e17 ** 9 - 1e17 ** 8 is nan
    root = increasing_root(lambda x: (x**9 - x**8 + x, (9 * x**8 - 8 * x**7 + 1).log()), target)
    assert_close(root**9 - root**8 + root, target, rtol=1e-4, atol=1e-4)


def test_three_derivatives_with_respect_to_target_and_parameter_are_exact():
    # y = x + c x^3, compared with those of the closed form of Cardano at c = 1
    def numerical(y, c):
        return increasing_root(lambda x: (x + c * x**3, (1 + 3 * c * x**2).log()), y)

    def closed(y, c):
        inner = (y / (2 * c)).square() + 1 / (27 * c**3)
        plus, minus = y / (2 * c) + inner.sqrt(), inner.sqrt() - y / (2 * c)
        return plus ** (1 / 3) - minus ** (1 / 3)

    point = (torch.tensor(1.3, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64))
    for order in range(1, 4):
        for argnum in (0, 1):
            got, want = numerical, closed
            for _ in range(order):
                got, want = torch.func.grad(got, argnum), torch.func.grad(want, argnum)
            assert_close(got(*point), want(*point), rtol=1e-9, atol=1e-9)


def test_parameters_may_have_more_dimensions_than_the_target():
    slopes = torch.tensor([[1.0], [2.0], [4.0]])
    root = increasing_root(lambda x: (slopes * x, slopes.log()), torch.tensor([8.0, 4.0]))
    assert_close(root, torch.tensor([8.0, 4.0]) / slopes)


def test_the_normal_quantile_is_found_from_its_distribution_function():
    probability = torch.tensor([1e-9, 0.025, 0.5, 0.975], dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    root = increasing_root(lambda x: (torch.special.ndtr(x), normal.log_prob(x)), probability)
    assert_close(
        root, torch.as_tensor(scipy.special.ndtri(probability.numpy())), rtol=1e-9, atol=1e-15
    )
