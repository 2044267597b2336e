"""The laws by name, and which of them apply to a case."""

from __future__ import annotations

from collections.abc import Callable

from . import densities, draws, dtypes, programs, shapes, wrappers
from .case import Case


def check_distribution(case: Case) -> None:
    """Check every law that applies to ``case``.

    Raises:
        AssertionError: If one is broken.
    """
    for name in laws_of(case):
        LAWS[name](case)


def laws_of(case: Case) -> list[str]:
    """Return the names of the laws that apply to ``case``."""
    dist = case.dist()
    discrete, univariate = dist.is_discrete, dist.event_dim == 0
    smooth = not (discrete or case.has_atoms or case.has_jumps)
    applies = {
        "score_parts_say_how_draws_are_made": not case.is_rejected,
        "density_equals_the_oracle": case.oracle is not None,
        "density_integrates_to_one": smooth and case.num_coordinates() <= 3,
        "probabilities_sum_to_one": discrete,
        "draws_follow_the_density": univariate and smooth,
        "draws_follow_the_probabilities": discrete,
        "draws_satisfy_the_stein_identity": smooth and not univariate,
        "pathwise_gradients_are_unbiased": dist.has_rsample and case.is_pathwise,
        "support_is_enumerated": dist.has_enumerate_support,
        "moments_equal_those_of_draws": case.has_moments,
        "cdf_is_the_integral_of_the_density": case.has_cdf,
        "icdf_inverts_the_cdf": case.has_icdf,
    }
    return [name for name in LAWS if applies.get(name, True)]


LAWS: dict[str, Callable[[Case], None]] = {
    "samples_and_scores_have_the_right_shapes": shapes.samples_and_scores_have_the_right_shapes,
    "expansion_keeps_type_and_density": shapes.expansion_keeps_type_and_density,
    "events_sum_and_masks_hide": shapes.events_sum_and_masks_hide,
    "hidden_values_leak_no_nan": shapes.hidden_values_leak_no_nan,
    "hidden_draws_keep_their_score": wrappers.hidden_draws_keep_their_score,
    "flags_survive_copies_and_wrappers": wrappers.flags_survive_copies_and_wrappers,
    "validation_that_nobody_chose_follows_the_process": (
        wrappers.validation_that_nobody_chose_follows_the_process
    ),
    "dtype_is_kept": dtypes.dtype_is_kept,
    "device_is_kept": shapes.device_is_kept,
    "copies_and_pickles_are_equal": shapes.copies_and_pickles_are_equal,
    "draws_lie_in_the_support": shapes.draws_lie_in_the_support,
    "score_parts_say_how_draws_are_made": shapes.score_parts_say_how_draws_are_made,
    "density_equals_the_oracle": densities.density_equals_the_oracle,
    "density_integrates_to_one": densities.density_integrates_to_one,
    "probabilities_sum_to_one": densities.probabilities_sum_to_one,
    "cdf_is_the_integral_of_the_density": densities.cdf_is_the_integral_of_the_density,
    "icdf_inverts_the_cdf": densities.icdf_inverts_the_cdf,
    "support_is_enumerated": densities.support_is_enumerated,
    "draws_follow_the_density": draws.draws_follow_the_density,
    "draws_follow_the_probabilities": draws.draws_follow_the_probabilities,
    "draws_satisfy_the_stein_identity": draws.draws_satisfy_the_stein_identity,
    "moments_equal_those_of_draws": draws.moments_equal_those_of_draws,
    "pathwise_gradients_are_unbiased": draws.pathwise_gradients_are_unbiased,
    "gradient_equals_finite_differences": programs.gradient_equals_finite_differences,
    "density_runs_under_vmap": programs.density_runs_under_vmap,
    "density_and_gradient_record_and_replay": programs.density_and_gradient_record_and_replay,
}
