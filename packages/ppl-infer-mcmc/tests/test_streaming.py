"""Statistics of draws that are not kept are those of the draws, in memory that does not grow."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import NotRunError, PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS, StreamingMCMC, streaming
from ppl.infer.mcmc.chains.sampler import STEPS_AT_ONCE
from ppl.infer.mcmc.streaming import Stream
from ppl.infer.mcmc.util import diagnostics_from_stats
from ppl.ops import stats
from ppl.ops.streaming import CountStats, StackStats, StatsOfDict
from ppl.primitives import deterministic, sample

from .test_mcmc import Metropolis, centered_eight_schools


def model():
    rate = sample("rate", dist.Gamma(torch.tensor([2.0, 3.0]).double(), 1.0).to_event(1))
    deterministic("log", rate.log())


KERNELS = {
    "nuts": (lambda: NUTS(model), {}),
    "hmc": (lambda: HMC(model, step_size=0.3, num_steps=3), {}),
    "hook": (lambda: NUTS(model), {"hook_fn": lambda *_: None}),
    "own": (lambda: Metropolis(), {}),
}


def run(driver, kernel, *args, **options):
    torch.manual_seed(0)
    mcmc = driver(kernel, *args, num_chains=2, disable_progbar=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # short chains are not to be trusted
        mcmc.run()
    return mcmc


@pytest.mark.parametrize("draws_at_once", [7, 1000])
@pytest.mark.parametrize("name", KERNELS)
def test_the_statistics_are_those_of_the_draws(name, draws_at_once, monkeypatch):
    monkeypatch.setattr(streaming, "DRAWS_AT_ONCE", draws_at_once)
    make, options = KERNELS[name]
    draws = run(MCMC, make(), 40, 20, **options).get_samples(group_by_chain=True)
    mcmc = run(StreamingMCMC, make(), 40, 20, **options)
    found, merged = mcmc.get_statistics(), mcmc.get_statistics(group_by_chain=False)
    assert set(found) == {(chain, site) for chain in range(2) for site in draws}
    for (chain, site), values in found.items():
        assert values["count"] == 40
        assert_close(values["mean"], draws[site][chain].mean(0))
        assert_close(values["variance"], draws[site][chain].var(0))
    for site, values in merged.items():
        assert values["count"] == 80
        assert_close(values["mean"], draws[site].mean((0, 1)))
        assert_close(values["variance"], draws[site].flatten(0, 1).var(0))


def test_the_draws_come_in_order():
    draws = run(MCMC, NUTS(model), 30, 20).get_samples(group_by_chain=True)
    found = run(StreamingMCMC, NUTS(model), 30, 20, statistics=StatsOfDict(default=StackStats))
    for (chain, site), values in found.get_statistics().items():
        assert_close(values["samples"], draws[site][chain])


def test_r_hat_is_that_of_gelman_and_rubin():
    draws = run(MCMC, NUTS(model), 30, 20).get_samples(group_by_chain=True)
    mcmc = run(StreamingMCMC, NUTS(model), 30, 20)
    for site, x in draws.items():
        assert_close(mcmc.diagnostics()[site]["r_hat"], stats.gelman_rubin(x))
    one = diagnostics_from_stats(
        {(0, "x"): {"mean": torch.ones(2), "variance": torch.ones(2)}}, 5, 1
    )
    assert one["x"]["r_hat"].isnan().all()
    assert diagnostics_from_stats({(0, "x"): {"count": 5}}, 5, 1) == {}


def test_the_kernel_reports_what_it_would_report_of_kept_draws():
    kept, streamed = (
        run(driver, NUTS(centered_eight_schools, step_size=0.9, adapt_step_size=False), 40, 2)
        for driver in (MCMC, StreamingMCMC)
    )
    kept, streamed = kept.diagnostics(), streamed.diagnostics()
    assert sum(map(len, kept["divergences"].values()))
    assert streamed["divergences"] == kept["divergences"]
    assert streamed["acceptance rate"] == pytest.approx(kept["acceptance rate"])


def test_only_the_wanted_sites_have_statistics_and_each_run_begins_anew():
    given = StatsOfDict(default=CountStats)
    mcmc = run(StreamingMCMC, NUTS(model), 10, 5, statistics=given, save_params=["log"])
    mcmc.run()
    assert mcmc.get_statistics() == {(chain, "log"): {"count": 10} for chain in range(2)}
    assert given.get() == {}


@pytest.mark.parametrize("kernel", ["nuts", "own"])
def test_no_more_draws_are_held_than_a_batch(kernel, monkeypatch):
    monkeypatch.setattr(streaming, "DRAWS_AT_ONCE", 64)
    held = []
    update, take = streaming._update, Stream.take

    def noting_update(statistics, chains, values):
        held.append(len(chains))
        update(statistics, chains, values)

    def noting_take(stream, chains):
        take(stream, chains)
        held.append(chains.record.position.shape[1])

    monkeypatch.setattr(streaming, "_update", noting_update)
    monkeypatch.setattr(Stream, "take", noting_take)
    run(StreamingMCMC, KERNELS[kernel][0](), 300, 5)
    assert max(held) <= 64 + 2 * STEPS_AT_ONCE  # each leapfrog may end a transition of each chain
    assert len(held) > 3


def test_there_are_no_statistics_before_a_run():
    with pytest.raises(NotRunError, match="run"):
        StreamingMCMC(NUTS(model), 3).get_statistics()
