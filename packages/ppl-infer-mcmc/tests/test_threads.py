"""Threads are chosen by the work, and given back."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

import ppl.distributions as dist
from ppl.engine.threads import ENOUGH_WORK, threads_for
from ppl.infer.mcmc import MCMC, NUTS
from ppl.infer.mcmc.chains.chains import Chains
from ppl.primitives import sample


@pytest.fixture
def three_threads():
    found = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(found)


@pytest.mark.parametrize(("work", "expected"), [(ENOUGH_WORK - 1, 1), (ENOUGH_WORK, 3)])
def test_little_work_has_one_thread_and_gives_the_others_back(three_threads, work, expected):
    with suppress(KeyError), threads_for(work):
        assert torch.get_num_threads() == expected
        raise KeyError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("size", "expected"), [(10, 1), (2**18, 3)])
def test_a_run_has_the_threads_of_its_work(three_threads, monkeypatch, size, expected):
    seen, advance = set(), Chains._advance

    def noting(chains, num_steps):
        seen.add(torch.get_num_threads())
        advance(chains, num_steps)

    def model():
        x = sample("x", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(x, 1.0).expand([size]).to_event(1), obs=torch.zeros(size))

    monkeypatch.setattr(Chains, "_advance", noting)
    MCMC(NUTS(model), 2, 2, disable_progbar=True).run()
    assert seen == {expected}
    assert torch.get_num_threads() == 3
