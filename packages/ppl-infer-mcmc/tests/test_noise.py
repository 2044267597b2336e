"""The noise of the steps has its law, and depends on a chain's seed and the step alone."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from ppl.infer.mcmc.transition.noise import NoiseStream, StreamState, draw_seeds, philox

LIKE = torch.zeros(200, 50, dtype=torch.float64)
SEEDS = range(1000, 1200)


def test_philox_gives_the_published_numbers():
    """Known answers of Random123 for a counter and a key of ones."""
    ones = torch.full((1, 1, 1), 0xFFFFFFFF)
    words = philox([ones] * 4, torch.tensor([-1]))
    assert words.flatten().tolist() == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_noise_is_normal_and_uniform():
    stream = NoiseStream(SEEDS, LIKE)
    normal, log_uniform = stream.draw(stream.next(40))
    # false alarms: one seed in 10 000; the seed is fixed
    assert kstest(normal.flatten(), "norm").pvalue > 1e-4
    assert kstest(log_uniform.exp().flatten(), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_steps_chains_and_numbers_are_uncorrelated(dim):
    stream = NoiseStream(SEEDS, LIKE)
    normal, _ = stream.draw(stream.next(40))
    length = normal.shape[dim] - 1
    products = normal.narrow(dim, 0, length) * normal.narrow(dim, 1, length)
    assert abs(float(products.mean())) < 5 / products.numel() ** 0.5  # five standard errors


def test_the_noise_of_a_chain_does_not_depend_on_the_others_nor_on_how_it_is_asked_for():
    many, alone = NoiseStream(SEEDS, LIKE), NoiseStream(SEEDS[3:4], LIKE[:1])
    whole = many.draw(many.next(40))
    alone.next(6)
    for rows, row in zip(whole, alone.draw_last(alone.next(2)), strict=True):
        assert torch.equal(rows[7, 3], row[0])
    alone.restore(StreamState(torch.tensor(SEEDS[3:4]), torch.tensor(7)))
    assert torch.equal(alone.draw(alone.next()).normal[0, 0], whole.normal[7, 3])


def test_steps_beyond_32_bits_have_noise_of_their_own():
    stream = NoiseStream([1], LIKE[:1])
    first = stream.draw(stream.next())
    stream.restore(StreamState(torch.tensor([1]), torch.tensor(2**32)))
    assert not torch.equal(stream.draw(stream.next()).normal, first.normal)


def test_seeds_follow_the_global_seed_and_are_distinct():
    torch.manual_seed(1)
    one = draw_seeds(1000)
    torch.manual_seed(1)
    assert draw_seeds(1000) == one
    assert len(set(one)) == 1000
