"""Divergences against torch's closed forms and against simulation."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import transforms
from ppl.distributions.kl import kl_divergence

from .cases.values import SCALES, TRIL, VECTOR

NORMAL = dist.Normal(VECTOR.double(), SCALES.double())
WIDE = dist.Normal(torch.zeros(2).double(), 2.0)
FULL = dist.MultivariateNormal(VECTOR.flip(0).double(), scale_tril=TRIL.double())


def as_full(independent):
    base = independent.base_dist
    return dist.MultivariateNormal(base.loc, scale_tril=base.scale.diag_embed())


def test_our_classes_use_the_closed_forms_of_torch():
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(NORMAL.loc, NORMAL.scale),
        torch.distributions.Normal(WIDE.loc, WIDE.scale),
    )
    assert_close(kl_divergence(NORMAL, WIDE), theirs)
    assert_close(kl_divergence(NORMAL.to_event(1), WIDE.expand((2, 2)).to_event(1)), theirs.sum(-1))


def test_independent_normals_are_diagonal_multivariate_normals():
    diagonal = NORMAL.to_event(1)
    assert_close(kl_divergence(diagonal, FULL), kl_divergence(as_full(diagonal), FULL))
    assert_close(kl_divergence(FULL, diagonal), kl_divergence(FULL, as_full(diagonal)))
    with pytest.raises(NotImplementedError, match="closed form"):
        kl_divergence(dist.Gamma(SCALES, 1.0).to_event(1), FULL)


def test_a_constant_diverges_by_the_log_density_at_its_point():
    p = dist.Delta(VECTOR.double(), log_density=0.7)
    assert_close(kl_divergence(p, WIDE), 0.7 - WIDE.log_prob(VECTOR.double()))


@pytest.mark.parametrize("p_mask", [True, False, torch.tensor([True, False])], ids=str)
@pytest.mark.parametrize("q_mask", [True, False, torch.tensor([True, False])], ids=str)
def test_masked_entries_do_not_count(p_mask, q_mask):
    counted = torch.as_tensor(p_mask) & torch.as_tensor(q_mask)
    assert_close(
        kl_divergence(NORMAL.mask(p_mask), WIDE.mask(q_mask)),
        torch.where(counted, kl_divergence(NORMAL, WIDE), 0.0),
    )


def expanded(base):
    return dist.ExpandedDistribution(base, (3, *base.batch_shape))


@pytest.mark.parametrize("p", [NORMAL, expanded(NORMAL), dist.Delta(VECTOR.double())], ids=str)
@pytest.mark.parametrize("q", [WIDE, expanded(WIDE.expand((2, 2)))], ids=str)
def test_copies_diverge_like_their_original(p, q):
    base_of = lambda d: getattr(d, "base_dist", d)  # noqa: E731
    want = kl_divergence(base_of(p), base_of(q))
    got = kl_divergence(p, q)
    assert_close(got, want.expand(got.shape))
    assert got.shape == torch.broadcast_shapes(p.batch_shape, q.batch_shape)


def test_an_invertible_transform_keeps_the_divergence():
    def image(base, shift):
        affine = transforms.LowerCholeskyAffine(torch.full((2,), shift).double(), TRIL[0].double())
        return dist.TransformedDistribution(base, [affine, transforms.tanh()])

    p, q = NORMAL.to_event(1), WIDE.expand((2, 2)).to_event(1)
    assert_close(kl_divergence(image(p, 1.0), image(q, 1.0)), kl_divergence(p, q))
    with pytest.raises(NotImplementedError):
        kl_divergence(image(p, 1.0), image(q, 2.0))


def image(base):
    return dist.TransformedDistribution(base, [transforms.OrderedTransform()])


PAIRS = {
    "full": (NORMAL.to_event(1), FULL),
    "diagonal": (NORMAL.to_event(1), WIDE.expand((2,)).to_event(1)),
    "from full": (FULL, WIDE.expand((2,)).to_event(1)),
    "expanded": (expanded(NORMAL), WIDE),
    "transformed": (image(NORMAL.to_event(1)), image(WIDE.expand((2, 2)).to_event(1))),
}


@pytest.mark.parametrize("p,q", PAIRS.values(), ids=PAIRS)
def test_divergences_equal_their_definition(p, q):
    torch.manual_seed(0)
    x = p.sample((20_000,))
    terms = p.log_prob(x) - q.log_prob(x)
    error = terms.std(0) / len(x) ** 0.5
    assert ((terms.mean(0) - kl_divergence(p, q)).abs() < 5 * error).all()  # false alarm 1e-6
