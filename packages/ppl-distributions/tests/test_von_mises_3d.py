"""Directions in space against scipy; there is no sampler for the laws."""

import pickle

import pytest
import scipy.stats as st
import torch
from torch.func import vmap
from torch.testing import assert_close

from ppl.distributions import VonMises3D
from ppl.errors import ShapeError

CONCENTRATION = torch.tensor([[0.3, -0.4, 1.2], [20.0, 0.0, -35.0], [1e-4, 0.0, 0.0]]).double()


def directions(num=20):
    torch.manual_seed(0)
    x = torch.randn(num, 3).double()
    return x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("concentration", CONCENTRATION)
def test_density_equals_scipys(concentration):
    length = float(concentration.norm())
    want = st.vonmises_fisher(concentration / length, length).logpdf(directions().numpy())
    got = VonMises3D(concentration).log_prob(directions())
    assert_close(got, torch.as_tensor(want), rtol=1e-7, atol=1e-8)


def test_no_concentration_is_uniform_with_a_gradient():
    concentration = torch.zeros(3).double().requires_grad_()
    log_prob = VonMises3D(concentration).log_prob(directions(1)[0])
    assert_close(log_prob.exp() * 4 * torch.pi, torch.ones(()).double())
    assert_close(torch.autograd.grad(log_prob, concentration)[0], directions(1)[0])


def test_gradient_equals_finite_differences():
    concentration = torch.cat([CONCENTRATION, torch.tensor([[0.05, 0.06, 0.04]])]).requires_grad_()
    x = directions(1)
    assert torch.autograd.gradcheck(lambda k: VonMises3D(k).log_prob(x), concentration)


def test_batches_expand_and_follow_vmap():
    x = directions(3)
    d = VonMises3D(CONCENTRATION)
    want = d.log_prob(x)
    assert_close(
        vmap(lambda k, y: VonMises3D(k, validate_args=False).log_prob(y))(CONCENTRATION, x), want
    )
    assert_close(d.expand((2, 3)).log_prob(x), want.expand(2, 3))
    assert_close(pickle.loads(pickle.dumps(d)).log_prob(x), want)


def test_draws_lie_on_the_sphere_and_their_mean_is_known():
    torch.manual_seed(0)
    concentration = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [-100.0, 0.0, 0.0]])
    d = VonMises3D(concentration)
    x = d.sample((20_000,))
    assert d.support.check(x).all()
    error = x.std(0) / len(x) ** 0.5
    assert ((x.mean(0) - d.mean).abs() < 5 * error).all()  # false alarm 1e-5


def test_draws_are_reparameterized():
    # the slope of a mean cosine is the variance of the cosine
    torch.manual_seed(0)
    k = torch.tensor([0.0, 0.0, 2.0], requires_grad=True)
    x = VonMises3D(k).rsample((20_000,))
    (slope,) = torch.autograd.grad(x[:, 2].mean(), k)
    assert (slope[2] - x[:, 2].var()).abs() < 0.02  # 5 standard errors
    assert slope[:2].abs().max() < 0.02


def test_vectors_of_another_size_are_refused():
    with pytest.raises(ShapeError, match="expected"):
        VonMises3D(torch.zeros(2))


def test_values_off_the_sphere_are_refused():
    with pytest.raises(ValueError, match="within the support"):
        VonMises3D(CONCENTRATION).log_prob(torch.ones(3))
