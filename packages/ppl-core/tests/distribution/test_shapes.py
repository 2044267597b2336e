"""Laws of shapes: sample, expand, expand_by, to_event and mask, for every kind of distribution."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

from ppl.distribution import Delta, ExpandedDistribution, Independent, Unit
from ppl.errors import ShapeError

from .families import FAMILIES, Bernoulli, Normal, Ring, every_family

SAMPLE_SHAPES = [(), (5,), (4, 2)]


def wrappers(d):
    """Return ``d`` under every combination of wrappers that keeps the batch rank or lowers it."""
    mask = torch.tensor([True, False, True]).reshape(3, 1)
    return {
        "bare": d,
        "expanded": d.expand((3, 6)),
        "expanded_left": d.expand((2, 3, 6)),
        "expand_by": d.expand_by((2,)),
        "generic_expand": ExpandedDistribution(d, (2, 3, 6)),
        "event_1": d.to_event(1),
        "event_all": d.to_event(),
        "event_of_expanded": d.expand((3, 6)).to_event(1),
        "expanded_event": d.to_event(1).expand((2, 3)),
        "masked": d.mask(mask),
        "masked_true": d.mask(True),
        "masked_false": d.mask(False),
        "masked_expanded": d.mask(mask).expand((2, 3, 6)),
        "masked_event": d.mask(mask).to_event(1),
    }


WRAPPERS = sorted(wrappers(every_family()["normal"]))


@pytest.fixture(params=FAMILIES)
def base(request):
    torch.manual_seed(0)
    return every_family()[request.param]


@pytest.fixture(params=WRAPPERS)
def dist(request, base):
    return wrappers(base)[request.param]


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES, ids=str)
def test_a_sample_has_sample_plus_batch_plus_event_shape(dist, sample_shape):
    shape = torch.Size(sample_shape) + dist.batch_shape + dist.event_shape
    assert dist.shape(sample_shape) == shape
    assert dist.sample(sample_shape).shape == shape
    assert dist(sample_shape).shape == shape
    if dist.has_rsample:
        assert dist.rsample(sample_shape).shape == shape


@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES, ids=str)
def test_a_score_has_sample_plus_batch_shape(dist, sample_shape):
    value = dist.sample(sample_shape)
    assert dist.log_prob(value).shape == torch.Size(sample_shape) + dist.batch_shape
    assert dist.score_parts(value).log_prob.shape == torch.Size(sample_shape) + dist.batch_shape


def test_event_dim_is_the_length_of_the_event_shape(dist):
    assert dist.event_dim == len(dist.event_shape)


def test_float64_survives(dist):
    value = dist.sample()
    assert value.dtype in (torch.float64, torch.int64)
    assert dist.log_prob(value).dtype == torch.float64


def test_moments_have_the_shape_of_a_sample_and_follow_expansion(base):
    expanded = ExpandedDistribution(base, (2, 3, 6))
    for moment in ("mean", "variance"):
        assert_close(
            getattr(expanded, moment),
            getattr(base, moment).expand(getattr(expanded, moment).shape),
            equal_nan=True,
        )


def test_generic_expansion_scores_as_the_base_does(base):
    value = base.sample((2,)).expand((2, 3, 6) + base.event_shape)
    expanded = ExpandedDistribution(base, (2, 3, 6))
    assert_close(expanded.log_prob(value), base.log_prob(value))
    assert expanded.expand((7, 2, 3, 6)).base_dist is base


def test_generic_expansion_of_a_value_without_the_new_dimensions_still_has_the_full_shape(base):
    assert ExpandedDistribution(base, (2, 3, 6)).log_prob(base.sample()).shape == (2, 3, 6)


def test_generic_expansion_puts_each_batch_entry_in_its_place():
    steps = torch.tensor([[10.0], [20.0], [30.0]], dtype=torch.float64)
    d = ExpandedDistribution(Normal(steps, 1e-3), (2, 3, 6))
    assert_close(d.sample((4,)), steps.expand(4, 2, 3, 6), atol=0.1, rtol=0.0)


@pytest.mark.parametrize("family", ["normal", "ring"])
def test_draws_along_expanded_dimensions_differ(family):
    torch.manual_seed(0)
    x = ExpandedDistribution(every_family()[family], (2, 3, 6)).sample()
    assert x.unique().numel() == x.numel()


def test_expand_keeps_the_type_of_torch_classes(base):
    expected = ExpandedDistribution if type(base).__name__ in ("Ring", "Coin") else type(base)
    assert type(base.expand((3, 6))) is expected


def test_minus_one_keeps_a_dimension_in_generic_expansion(base):
    assert ExpandedDistribution(base, (-1, 6)).batch_shape == (3, 6)


@pytest.mark.parametrize("shape", [(4, 1), (3,), (2, 5, 1)], ids=str)
def test_an_impossible_generic_expansion_names_both_shapes(base, shape):
    with pytest.raises(ShapeError, match=r"batch_shape \(3, 1\).*" + str(shape)[1:-1]):
        ExpandedDistribution(base, shape)


def test_to_event_moves_dimensions_and_a_negative_number_moves_them_back(base):
    d = base.to_event(2)
    assert d.batch_shape == () and d.event_shape == (3, 1) + base.event_shape
    assert d.to_event(-1).batch_shape == (3,)
    assert d.to_event(-2) is base
    assert base.to_event(0) is base


def test_to_event_never_nests(base):
    d = base.to_event(1).to_event(1)
    assert isinstance(d, Independent) and d.base_dist is base


def test_to_event_sums_the_log_density(base):
    value = base.sample()
    assert_close(base.to_event(1).log_prob(value), base.log_prob(value).sum(-1))
    assert_close(base.to_event().log_prob(value), base.log_prob(value).sum())


@pytest.mark.parametrize("n", [3, -1])
def test_to_event_of_dimensions_that_are_not_there_is_refused(base, n):
    with pytest.raises(ShapeError, match=rf"to_event\({n}\).*\(3, 1\)"):
        base.to_event(n)


def test_pickle_and_copy_keep_density_and_shape(dist):
    value = dist.sample((2,))
    for twin in (pickle.loads(pickle.dumps(dist)), copy.copy(dist), copy.deepcopy(dist)):
        assert twin.batch_shape == dist.batch_shape and twin.event_shape == dist.event_shape
        assert_close(twin.log_prob(value), dist.log_prob(value))


@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize("family", ["bernoulli", "categorical", "coin"])
def test_enumeration_is_in_lockstep_and_survives_expansion_and_mask(family, expand):
    base = every_family()[family]
    for d in (base, ExpandedDistribution(base, (2, 3, 6)), base.mask(False)):
        values = d.enumerate_support(expand)
        batch = d.batch_shape if expand else (1,) * len(d.batch_shape)
        assert values.shape[1:] == batch
        steps = torch.arange(len(values)).to(values).reshape(-1, *[1] * len(batch))
        assert_close(values, steps.expand_as(values))


def test_infer_shapes_agrees_with_construction():
    d = Normal(torch.zeros(3, 1), torch.ones(4))
    assert Normal.infer_shapes(loc=(3, 1), scale=(4,)) == (d.batch_shape, d.event_shape)
    mvn = every_family()["mvn"]
    shapes = type(mvn).infer_shapes(loc=(3, 1, 2), covariance_matrix=(2, 2))
    assert shapes == (mvn.batch_shape, mvn.event_shape)
    assert Ring.infer_shapes(radius=(3,))[0] == (3,)


def test_is_discrete_follows_the_support():
    assert Bernoulli(torch.tensor(0.3)).is_discrete and not Normal(0.0, 1.0).is_discrete


def test_the_old_names_still_work_and_say_so(base):
    with pytest.warns(DeprecationWarning, match="to_event"):
        assert base.independent(1).event_shape == base.to_event(1).event_shape
    with pytest.warns(DeprecationWarning, match="to_event"):
        assert base.reshape((2,), 1).shape() == base.expand_by((2,)).to_event(1).shape()


@pytest.mark.parametrize("spelling", ["base_dist", "base_distribution"])
def test_independent_accepts_both_spellings(spelling):
    d = Independent(**{spelling: Normal(torch.zeros(2), 1.0)}, reinterpreted_batch_ndims=1)
    assert d.event_shape == (2,)
    with pytest.raises(TypeError, match="base_distribution"):
        Independent(reinterpreted_batch_ndims=1)


def test_forced_detachment_reaches_through_wrappers():
    loc = torch.zeros(3, requires_grad=True)
    for wrap in (lambda d: d, lambda d: d.to_event(1), lambda d: d.mask(True)):
        d = wrap(Normal(loc, 1.0))
        assert d().requires_grad
        assert d.has_rsample_(False) is d
        assert not d().requires_grad
    with pytest.raises(ValueError, match="Bernoulli"):
        Bernoulli(torch.tensor(0.3)).has_rsample_(True)


def test_numbers_make_distributions_of_the_default_type():
    assert Normal(0.0, 1.0).sample().dtype == torch.get_default_dtype()
    assert Delta(torch.zeros(3), event_dim=1).log_prob(torch.zeros(3)).dtype == torch.float32
    assert Unit(-2.0).log_prob(Unit(-2.0).sample()).shape == ()
