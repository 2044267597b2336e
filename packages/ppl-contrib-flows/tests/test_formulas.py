"""Each flow is what its paper says: compared with the formula as written there, on plain loops."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch
from torch.testing import assert_close

import ppl.distributions.transforms as transforms

SIZE = 3


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def double(name, *args, **kwargs):
    return getattr(transforms, name)(*args, **kwargs).double()


def vector():
    return torch.randn(SIZE, dtype=torch.float64)


def test_householder_is_a_product_of_reflections():
    flow, x = double("householder", SIZE, 2), vector()
    first, second = (torch.eye(SIZE).double() - 2 * torch.outer(u, u) for u in flow.u())
    assert_close(flow(x), second @ first @ x)


def test_as_many_reflections_as_dimensions_make_a_rotation_with_the_sign_of_their_number():
    flow = double("householder", SIZE, SIZE)
    matrix = torch.func.jacrev(flow)(vector())
    assert_close(matrix @ matrix.mT, torch.eye(SIZE).double())
    assert_close(torch.linalg.det(matrix), torch.tensor(-1.0).double())


def test_sylvester_is_its_formula():
    flow, x = double("sylvester", SIZE, 2), vector()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(50)
    q, r, s = flow.Q(x), flow.R(), flow.S()
    assert_close(q @ q.mT, torch.eye(SIZE).double())
    assert_close(r.tril(-1), torch.zeros_like(r))
    assert_close(s.tril(-1), torch.zeros_like(s))
    assert_close(flow(x), x + q @ r @ torch.tanh(s @ q.mT @ x + flow.b))
    assert_close(flow.dtanh_dx(x), 1 - x.tanh() ** 2)


def test_sylvester_with_one_direction_is_planar():
    flow, x = double("sylvester", 1), torch.randn(1, dtype=torch.float64)
    planar = double("planar", 1)
    product = flow.R()[0, 0] * flow.S()[0, 0]
    with torch.no_grad():
        planar.w.copy_(flow.S()[0] * flow.Q(x)[0])
        planar.u.copy_((product + 1).expm1().log() / planar.w)  # the softplus undoes it
        planar.bias.copy_(flow.b)
    assert_close(planar(x), flow(x))


def test_radial_is_its_formula_and_keeps_its_centre():
    flow, x = double("radial", SIZE), vector()
    alpha = torch.nn.functional.softplus(flow.alpha_prime)
    beta = torch.nn.functional.softplus(flow.beta_prime) - alpha
    distance = (x - flow.x0).norm()
    assert_close(flow(x), x + beta / (alpha + distance) * (x - flow.x0))
    assert_close(flow(flow.x0), flow.x0)
    y = flow.x0.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(flow.log_abs_det_jacobian(y, flow(y)) + flow.inv(y).sum(), y)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize("name", ["planar", "radial"])
def test_the_slope_keeps_its_digits_at_the_edge_of_what_is_invertible(name):
    # where it is exp(-60), a difference from one would round to the logarithm of zero
    flow = double(name, 1)
    with torch.no_grad():
        if name == "planar":
            flow.w.fill_(1.0)
            flow.u.fill_(-60.0)
            x, expected = torch.zeros(1).double(), -60.0
        else:
            flow.beta_prime.fill_(-60.0)
            alpha = torch.nn.functional.softplus(flow.alpha_prime)
            x, expected = flow.x0.detach(), (-60.0 - alpha.log()).item()
    assert_close(flow.log_abs_det_jacobian(x, flow(x)).item(), expected)


def test_the_matrix_exponential_is_that_of_scipy():
    flow, x = double("matrix_exponential", SIZE), vector()
    matrix = torch.as_tensor(scipy.linalg.expm(flow.weights.detach().numpy()))
    assert_close(flow(x).detach(), matrix @ x)
    assert_close(flow.log_abs_det_jacobian(x, flow(x)), flow.weights.trace())


def test_channels_are_mixed_by_the_same_matrix_at_all_pixels():
    flow, x = double("generalized_channel_permute", channels=SIZE), torch.randn(2, SIZE, 4, 5)
    x = x.double()
    matrix = flow.permutation @ flow.L @ flow.U
    rotation = matrix @ matrix.mT  # made in single precision
    assert_close(rotation, torch.eye(SIZE).double(), rtol=1e-5, atol=1e-5)
    assert_close(flow(x), torch.einsum("ij,bjkl->bikl", matrix, x))


def test_a_permutation_of_channels_picks_them_in_order():
    flow = transforms.GeneralizedChannelPermute(SIZE, torch.tensor([2, 0, 1]))
    with torch.no_grad():
        flow.LU.copy_(torch.eye(SIZE))
    x = torch.randn(SIZE, 2, 2)
    assert_close(flow(x), x[[2, 0, 1]])


@pytest.mark.parametrize(
    "activation, function, inverse",
    [
        ("sigmoid", torch.sigmoid, torch.logit),
        ("tanh", torch.tanh, torch.atanh),
        ("ELU", torch.nn.functional.elu, lambda d: torch.where(d > 0, d, d.log1p())),
        (
            "LeakyReLU",
            torch.nn.functional.leaky_relu,
            lambda d: torch.where(d > 0, d, 100 * d),
        ),
    ],
)
def test_a_neural_flow_is_a_small_monotone_network(activation, function, inverse):
    flow, x = double("neural_autoregressive", SIZE, [8], activation, 5), vector()
    raw_slopes, logits, biases = flow.arn(x)
    slopes, weights = torch.nn.functional.softplus(raw_slopes), logits.softmax(-2)
    assert_close(flow(x), inverse((weights * function(slopes * x + biases)).sum(-2)))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "ELU", "LeakyReLU"])
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_a_neural_flow_is_finite_far_out(activation, size):
    flow = double("neural_autoregressive", SIZE, [8], activation, 5)
    x = torch.full((SIZE,), size, dtype=torch.float64, requires_grad=True)
    y, log_det = flow._forward(x)
    (slope,) = torch.autograd.grad(y.sum() + log_det, x)
    assert bool(y.isfinite().all() and log_det.isfinite() and slope.isfinite().all())


def test_a_polynomial_flow_is_an_integral_of_a_sum_of_squares():
    flow, x = double("polynomial", SIZE, [8]), vector()
    coefficients = flow.arn(x).detach().unflatten(0, (3, 5)).numpy()  # (sum, degree + 1, size)

    def integrand(u, n):
        return (np.polynomial.polynomial.polyval(u, coefficients[:, :, n].T) ** 2).sum()

    for n in range(SIZE):
        integral = scipy.integrate.quad(integrand, 0, x[n].item(), args=(n,))[0]
        assert_close(flow(x)[n].item(), flow.c[n].item() + integral, rtol=1e-9, atol=1e-9)


def test_a_block_flow_has_rows_of_the_declared_length_and_positive_diagonal_blocks():
    flow = double("block_autoregressive", SIZE, hidden_factors=[2, 4])
    for layer in flow.layers:
        weight, log_diagonal, _ = layer()
        assert_close(weight.norm(dim=-1, keepdim=True), layer._diag_weight.exp())
        blocks = weight.reshape(SIZE, layer.out_factor, SIZE, layer.in_factor)
        for i in range(SIZE):
            assert_close(blocks[i, :, i], log_diagonal[i].exp())
            assert_close(blocks[i, :, i + 1 :], torch.zeros_like(blocks[i, :, i + 1 :]))


def test_a_block_flow_is_a_feed_forward_network():
    flow, x = double("block_autoregressive", SIZE, hidden_factors=[2]), vector()
    first, last = (layer() for layer in flow.layers)
    hidden = torch.tanh(first.weight @ x + first.bias)
    assert_close(flow(x), last.weight @ hidden + last.bias)


def test_a_bounded_block_flow_scores_what_it_cannot_reach_as_nan():
    flow = double("block_autoregressive", SIZE)
    assert bool(flow.inv(torch.full((SIZE,), 1e3).double())[0].isnan())


@pytest.mark.parametrize("order", ["linear", "quadratic"])
def test_a_spline_passes_its_knots_with_its_slopes(order):
    flow = double("spline", SIZE, count_bins=5, bound=2.0, order=order)
    bins = flow._bins()
    for k in range(5):
        x = bins.left[:, k]
        y, log_slope = flow._forward(x)
        assert_close(y, bins.low[:, k])
        assert_close(log_slope.exp(), bins.slope[:, k])
    assert_close(bins.left[:, 0], torch.full((SIZE,), -2.0).double())
    assert_close((bins.left + bins.width)[:, -1], torch.full((SIZE,), 2.0).double())
    assert_close((bins.low + bins.height)[:, -1], torch.full((SIZE,), 2.0).double())


@pytest.mark.parametrize("order", ["linear", "quadratic"])
def test_a_spline_is_the_identity_outside_of_its_interval_and_joins_it_smoothly(order):
    flow = double("spline", SIZE, bound=2.0, order=order)
    x = torch.tensor([[-5.0, -2.0 - 1e-9, 2.0 + 1e-9], [-2.0, 2.0, 7.0]], dtype=torch.float64)
    y, log_slope = flow._forward(x)
    assert_close(y, x)
    assert_close(log_slope, torch.zeros_like(x))
    assert_close(flow._inverse(x), x)


@pytest.mark.parametrize("order", ["linear", "quadratic"])
def test_a_spline_of_equal_bins_with_slope_one_is_the_identity(order):
    flow = double("spline", SIZE, order=order)
    with torch.no_grad():
        flow.unnormalized_widths.fill_(0.3)
        flow.unnormalized_heights.fill_(-0.2)
        flow.unnormalized_derivatives.fill_(math.log(math.expm1(1 - 1e-3)))
    x = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None].expand(41, SIZE)
    assert_close(flow(x), x)


def test_batchnorm_in_training_is_that_of_torch():
    flow, y = transforms.batchnorm(SIZE, momentum=0.3).double(), torch.randn(7, SIZE).double()
    mean, variance = torch.zeros(SIZE).double(), torch.ones(SIZE).double()
    torch.nn.functional.batch_norm(y, mean, variance, training=True, momentum=0.3)
    x = flow.inv(y)
    expected = (y - y.mean(0)) / (y.var(0) + flow.epsilon).sqrt()
    assert_close(x, flow.constrained_gamma * expected)
    assert_close((flow.moving_mean, flow.moving_variance), (mean, variance))
    slopes = flow.constrained_gamma / (y.var(0) + flow.epsilon).sqrt()
    assert_close(flow.log_abs_det_jacobian(x, y), -slopes.log().expand(7, SIZE))


def test_batchnorm_in_use_does_not_move():
    flow = transforms.batchnorm(SIZE).eval()
    before = {key: value.clone() for key, value in flow.state_dict().items()}
    flow.inv(torch.randn(7, SIZE))
    assert_close(flow.state_dict(), before)
