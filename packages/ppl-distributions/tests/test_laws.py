"""The laws catch what they are made to catch."""

import pytest
import scipy.stats as st
import torch
from torch.distributions import constraints

import ppl.distributions as dist
from ppl.distributions.testing import LAWS, Case, check_distribution, laws_of

from .cases import CASES
from .cases.values import POSITIVE, REAL, TRIL, UNIT, VECTOR, WEIGHTS


def test_every_law_applies_to_some_family():
    assert {law for case in CASES for law in laws_of(case)} == set(LAWS)


def test_a_family_without_fault_passes_all_at_once():
    check_distribution(CASES[0])


class WideDraws(dist.Normal):
    def sample(self, sample_shape=torch.Size()):
        return self.loc + 1.05 * self.scale * torch.randn(self.shape(sample_shape)).to(self.loc)


class Detached(dist.Normal):
    def rsample(self, sample_shape=torch.Size()):
        return self.loc + self.scale.detach() * torch.randn(self.shape(sample_shape)).to(self.loc)


class Unnormalized(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value) + 1e-3


class ReadsValues(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value) if value.sum() < 1e9 else value


class Single(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value).float()


class Grounded(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value) + torch.zeros(value.shape)


class DropsType(dist.Normal):
    def expand(self, batch_shape, _instance=None):
        return dist.Normal(self.loc, self.scale).expand(batch_shape)


class Asleep(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value.detach())


class Correlated(dist.MultivariateNormal):
    def sample(self, sample_shape=torch.Size()):
        x = super().sample(sample_shape)
        return x + 0.1 * x.flip(-1)


class Biased(dist.Bernoulli):
    def sample(self, sample_shape=torch.Size()):
        return (torch.rand(self.shape(sample_shape)) < self.probs + 0.03).to(self.probs)


class Overlapping(dist.Categorical):
    def enumerate_support(self, expand=True):
        return super().enumerate_support(expand) // 2


class WrongMoments(dist.Normal):
    @property
    def variance(self):
        return self.scale


class WrongCdf(dist.Normal):
    def cdf(self, value):
        return super().cdf(value) * 0.999

    def icdf(self, value):
        return super().icdf(value) + 1e-3


class LooseSupport(dist.Normal):
    support = constraints.positive


class Leaky(dist.Normal):
    arg_constraints = dist.Normal.arg_constraints

    def mask(self, mask):
        masked = super().mask(mask)
        masked._counted = lambda value: value
        return masked


class Silenced(dist.Bernoulli):
    def mask(self, mask):
        masked = super().mask(mask)
        masked.score_parts = lambda value: self.score_parts(value).scale_and_mask(0.0, mask)
        return masked


class Stubborn(dist.Normal):
    def mask(self, mask):
        masked = super().mask(mask)
        masked.base_dist.has_rsample = True
        return masked


class Frozen(dist.Normal):
    def __init__(self, loc, scale):
        super().__init__(loc, scale, validate_args=True)


class Confused(dist.Normal):
    def score_parts(self, value):
        parts = super().score_parts(value)
        return parts._replace(score_function=parts.entropy_term, entropy_term=0)


class NoPickle(dist.Normal):
    def __reduce_ex__(self, protocol):
        return (dist.Normal, (self.loc, self.scale))


class Truncating(dist.Normal):
    def sample(self, sample_shape=torch.Size()):
        return super().sample(sample_shape)[..., :1]


class Maskless(dist.Normal):
    def mask(self, mask):
        return self


LOC_SCALE = {"loc": REAL, "scale": POSITIVE}
FAULTS = {
    "density_equals_the_oracle": (Unnormalized, LOC_SCALE),
    "events_sum_and_masks_hide": (Maskless, LOC_SCALE),
    "samples_and_scores_have_the_right_shapes": (Truncating, LOC_SCALE),
    "expansion_keeps_type_and_density": (DropsType, LOC_SCALE),
    "hidden_values_leak_no_nan": (Leaky, LOC_SCALE),
    "hidden_draws_keep_their_score": (Silenced, {"probs": UNIT}),
    "flags_survive_copies_and_wrappers": (Stubborn, LOC_SCALE),
    "validation_that_nobody_chose_follows_the_process": (Frozen, LOC_SCALE),
    "dtype_is_kept": (Single, LOC_SCALE),
    "device_is_kept": (Grounded, LOC_SCALE),
    "copies_and_pickles_are_equal": (NoPickle, LOC_SCALE),
    "draws_lie_in_the_support": (LooseSupport, LOC_SCALE),
    "score_parts_say_how_draws_are_made": (Confused, LOC_SCALE),
    "density_integrates_to_one": (Unnormalized, LOC_SCALE),
    "cdf_is_the_integral_of_the_density": (WrongCdf, LOC_SCALE),
    "icdf_inverts_the_cdf": (WrongCdf, LOC_SCALE),
    "draws_follow_the_density": (WideDraws, LOC_SCALE),
    "draws_follow_the_probabilities": (Biased, {"probs": UNIT}),
    "support_is_enumerated": (Overlapping, {"probs": WEIGHTS}),
    "probabilities_sum_to_one": (Overlapping, {"probs": WEIGHTS}),
    "moments_equal_those_of_draws": (WrongMoments, LOC_SCALE),
    "draws_satisfy_the_stein_identity": (
        lambda loc, tril: Correlated(loc, scale_tril=tril),
        {"loc": VECTOR, "tril": TRIL},
    ),
    "pathwise_gradients_are_unbiased": (Detached, LOC_SCALE),
    "gradient_equals_finite_differences": (Asleep, LOC_SCALE),
    "density_runs_under_vmap": (ReadsValues, LOC_SCALE),
    "density_and_gradient_record_and_replay": (ReadsValues, LOC_SCALE),
}


def test_every_law_has_a_fault_to_catch():
    assert set(FAULTS) == set(LAWS)


@pytest.mark.parametrize("law", FAULTS)
def test_a_fault_breaks_its_law(law):
    make, params = FAULTS[law]
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        LAWS[law](Case("fault", make, params, st.norm))
