"""Second derivatives, with torch.func as the oracle."""

import torch
from torch.testing import assert_close

from ppl.ops.hessian import hessian


def test_hessian_of_one_tensor_equals_torch():
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()

    def function(x):
        return (x.sin() * x.flip(0)).sum() ** 2

    want = torch.func.hessian(function)(x.detach()).reshape(6, 6)
    assert_close(hessian(function(x), x).detach(), want)


def test_hessian_of_several_tensors_is_one_matrix():
    a, b = (torch.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0]))
    want = torch.func.hessian(lambda z: (z[:2] ** 2).sum() * z[2] ** 3)(torch.cat([a, b]).detach())
    assert_close(hessian((a**2).sum() * b.squeeze() ** 3, [a, b]).detach(), want)


def test_hessian_of_a_linear_function_is_zero():
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    assert_close(hessian((2 * a).sum(), [a, b]), torch.zeros(4, 4))


def test_hessian_can_be_differentiated_again():
    x = torch.tensor([2.0], requires_grad=True)
    (third,) = torch.autograd.grad(hessian((x**3).sum(), x).sum(), x)
    assert_close(third, torch.tensor([6.0]))
