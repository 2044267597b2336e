"""The laws of transforms catch what they are made to catch."""

import pytest
import torch
from torch.distributions.transforms import ExpTransform

from ppl.distributions import constraints, transforms
from ppl.distributions.testing import TRANSFORM_LAWS, TransformCase, check_transform


class Negative(ExpTransform):
    codomain = constraints.less_than(0.0)


class Shifted(ExpTransform):
    def _inverse(self, y):
        return y.log() + 1e-3


class Stretched(ExpTransform):
    def log_abs_det_jacobian(self, x, y):
        return 1.001 * x


class Widening(ExpTransform):
    def forward_shape(self, shape):
        return (*shape, 1)


class Forgetful(ExpTransform):
    def with_cache(self, cache_size=1):
        return self


class Falling(ExpTransform):
    sign = -1


class Single(ExpTransform):
    def _call(self, x):
        return x.float().exp()


class Grounded(ExpTransform):
    def _call(self, x):
        return x.exp() + torch.zeros(x.shape)


class Turncoat(ExpTransform):
    def __reduce_ex__(self, protocol):
        return (ExpTransform, ())


class Detached(ExpTransform):
    def _call(self, x):
        return x.detach().exp()


class Vanishing(transforms.TanhTransform):
    def log_abs_det_jacobian(self, x, y):
        return (1 - y.square()).log()


class ReadsValues(ExpTransform):
    def _call(self, x):
        return x.exp() if x.sum() < 1e9 else x


FAULTS = {
    "images_lie_in_the_codomain": Negative,
    "inverse_undoes_the_transform": Shifted,
    "jacobian_equals_that_of_autograd": Stretched,
    "shapes_are_those_announced": Widening,
    "cached_transforms_return_the_very_argument": Forgetful,
    "sign_is_that_of_the_slope": Falling,
    "dtype_of_arguments_is_kept": Single,
    "device_of_arguments_is_kept": Grounded,
    "copies_act_alike": Turncoat,
    "derivatives_equal_finite_differences": Detached,
    "derivatives_are_finite_far_out": Vanishing,
    "transforms_run_under_vmap": ReadsValues,
    "transforms_record_and_replay": ReadsValues,
}


def test_every_law_has_a_fault_to_catch():
    assert set(FAULTS) == set(TRANSFORM_LAWS)


@pytest.mark.parametrize("law", FAULTS)
def test_a_fault_breaks_its_law(law):
    with pytest.raises((AssertionError, RuntimeError)):
        TRANSFORM_LAWS[law](TransformCase("fault", FAULTS[law]))


def test_a_transform_without_fault_passes_all_at_once():
    check_transform(TransformCase("exp", ExpTransform))


def test_free_entries_may_be_those_of_another_constraint():
    """The volume of an embedding into the plane; by its first entry it has the volume of a line."""

    class Diagonal(transforms.Transform):
        domain, codomain, bijective = constraints.real_vector, constraints.real_vector, True

        def _call(self, x):
            return torch.cat([x, x], -1)

        def _inverse(self, y):
            return y[..., :1]

        def log_abs_det_jacobian(self, x, y):
            return x.new_zeros(x.shape[:-1])

    law = TRANSFORM_LAWS["jacobian_equals_that_of_autograd"]
    with pytest.raises(AssertionError, match="0.34"):  # log of the root of 2
        law(TransformCase("all entries", Diagonal, (1,)))
    law(TransformCase("first", Diagonal, (1,), free_entries=lambda constraint, value: value[:1]))
