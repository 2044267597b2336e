"""What other velocity fields are for: gradients of smaller variance."""

import torch
from torch.func import grad, vmap
from torch.testing import assert_close

from ppl.distributions import AVFMultivariateNormal, MultivariateNormal, OMTMultivariateNormal

LOC = torch.zeros(3).double()
SCALE_TRIL = torch.tensor([[1.0, 0, 0], [2.0, 0.3, 0], [-1.5, 0.5, 0.2]]).double()


def gradients(make, num_draws=4000):
    """Return the gradient of ``E[sum x ** 2]`` by ``scale_tril`` for each draw."""
    torch.manual_seed(0)
    scale_tril = SCALE_TRIL.expand(num_draws, 3, 3).clone().requires_grad_()
    cost = make(scale_tril).rsample().square().sum()
    return torch.autograd.grad(cost, scale_tril)[0].tril()


def variance(make):
    return gradients(make).var(0).sum()


def test_transport_has_gradients_of_smaller_variance():
    plain = variance(lambda s: MultivariateNormal(LOC, scale_tril=s))
    assert variance(lambda s: OMTMultivariateNormal(LOC, s)) < 0.9 * plain


def test_the_flow_is_symmetric():
    """The derivative of a draw by a scale of the whole matrix is the deviation itself."""
    torch.manual_seed(0)
    factor = torch.ones(()).double().requires_grad_()
    x = OMTMultivariateNormal(LOC, factor * SCALE_TRIL).rsample()
    slope = [torch.autograd.grad(x[i], factor, retain_graph=True)[0] for i in range(3)]
    assert_close(torch.stack(slope), x.detach())


def test_the_gradient_of_the_control_is_that_of_half_the_squared_gradient():
    torch.manual_seed(0)
    control_var = torch.randn(2, 2, 3).double()

    def half_square(control):
        slope = gradients(lambda s: AVFMultivariateNormal(LOC, s, control), num_draws=5)
        return slope.square().sum() / 2

    control_var.requires_grad_()
    torch.manual_seed(0)
    scale_tril = SCALE_TRIL.expand(5, 3, 3).clone().requires_grad_()
    AVFMultivariateNormal(LOC, scale_tril, control_var).rsample().square().sum().backward()
    steps = 1e-4 * torch.eye(12).double().reshape(12, 2, 2, 3)
    values = [half_square(control_var.detach() + side * step) for step in steps for side in (1, -1)]
    differences = torch.stack(values).reshape(2, 2, 3, 2)
    assert_close(control_var.grad, (differences[..., 0] - differences[..., 1]) / 2e-4)


def test_gradients_run_under_vmap():
    control_var = torch.full((2, 1, 3), 0.3).double()
    for make in (
        lambda s: AVFMultivariateNormal(LOC, s, control_var),
        lambda s: OMTMultivariateNormal(LOC, s),
    ):

        def cost(s, make=make):
            return make(s).rsample().square().sum()

        slopes = vmap(grad(cost), randomness="different")(SCALE_TRIL.expand(5, 3, 3))
        assert slopes.shape == (5, 3, 3) and slopes.isfinite().all()
