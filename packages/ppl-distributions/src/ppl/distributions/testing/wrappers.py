"""Laws of what wrappers, copies and plates keep of a distribution."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.distribution.util import is_identically_zero, scale_and_mask
from ppl.plates import plate_stack
from ppl.primitives import sample
from ppl.validation import is_validation_enabled, validation_enabled

from .case import Case


def hidden_draws_keep_their_score(case: Case) -> None:
    """A mask hides density and entropy of a draw; what was drawn keeps its score function."""
    torch.manual_seed(0)
    dist = case.dist()
    value = dist.sample((3,))
    log_prob, score, entropy = dist.score_parts(value)
    some = torch.arange(dist.batch_shape.numel()).reshape(dist.batch_shape) % 2 == 0
    for mask in (some, True, False):
        parts = dist.mask(mask).score_parts(value)
        assert_close(parts.log_prob, scale_and_mask(log_prob, mask=mask))
        assert_close(parts.score_function, score)
        if is_identically_zero(entropy):
            assert is_identically_zero(parts.entropy_term)
        else:
            assert_close(parts.entropy_term, scale_and_mask(entropy, mask=mask))


def flags_survive_copies_and_wrappers(case: Case) -> None:
    """What a user sets on a distribution holds for all that is made of it."""
    dist = case.dist()
    dist.note = "mine"
    for flag in (True, False):
        dist._validate_args = flag
        for twin in _copies(dist):
            assert twin.note == "mine" and twin._validate_args is flag
    if dist.has_rsample:
        dist.has_rsample_(False)
        for other in (*_copies(dist), *_wrapped(dist)):
            assert not other.has_rsample


def validation_that_nobody_chose_follows_the_process(case: Case) -> None:
    """A distribution made without ``validate_args`` checks when the process does, copied or not."""
    for twin in _copies(case.dist()):
        with validation_enabled(not is_validation_enabled()):
            assert twin._validate_args is is_validation_enabled()


def _copies(dist: Any) -> Iterator[Any]:
    """The same distribution again, larger or not."""
    wide = (2, *dist.batch_shape)
    yield from (copy.copy(dist), copy.deepcopy(dist), pickle.loads(pickle.dumps(dist)))
    yield from (dist.expand(wide), dist.expand_by((2,)), dist.expand_by((1,)).expand_by((2,)))

    def program() -> None:
        with plate_stack("plate", wide):
            sample("x", dist)

    yield poutine.trace(program).get_trace().nodes["x"]["fn"]


def _wrapped(dist: Any) -> Iterator[Any]:
    mask = torch.ones(dist.batch_shape, dtype=torch.bool)
    for wrapped in (dist.to_event(1), dist.mask(mask), dist.mask(True), dist.mask(mask).to_event()):
        yield from (wrapped, wrapped.expand_by((2,)), pickle.loads(pickle.dumps(wrapped)))
