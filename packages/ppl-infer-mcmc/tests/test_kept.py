"""What was computed is not lost: an interrupt or an error keeps the draws made before it."""

from __future__ import annotations

import itertools

import pytest
import torch

import ppl.distributions as dist
from ppl.infer.mcmc import MCMC, NUTS, StreamingMCMC
from ppl.infer.mcmc.driver.run_config import most_draws
from ppl.primitives import sample

pytestmark = pytest.mark.filterwarnings("ignore:the model runs without recording")


def stopping(after, error):
    """A model that ends the run in one execution; with a number, so that it is not recorded."""
    executions = itertools.count()

    def model():
        x = sample("x", dist.Normal(0.0, 1.0))
        float(x)
        if next(executions) == after:
            raise error

    return model


ERRORS = [KeyboardInterrupt(), NameError("misspelt"), SystemExit()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["vectorized", "sequential", "hook"])
def test_draws_made_before_an_interrupt_are_kept(method, error):
    hook = (lambda *_: None) if method == "hook" else None
    method = "sequential" if method == "hook" else method
    torch.manual_seed(0)
    kernel = NUTS(stopping(500, error))
    mcmc = MCMC(kernel, 10_000, 10, chain_method=method, hook_fn=hook, disable_progbar=True)
    with pytest.warns(UserWarning, match="are kept"), pytest.raises(type(error)):
        mcmc.run()
    draws = mcmc.get_samples(group_by_chain=True)["x"]
    assert draws.shape[0] == 1
    assert 10 < draws.shape[1] < 500
    assert draws.unique().numel() > 5
    assert all(x.shape == draws.shape for x in mcmc.get_extra_fields().values())
    mcmc.summary()


def test_an_interrupt_of_warm_up_has_nothing_to_keep():
    mcmc = MCMC(NUTS(stopping(60, KeyboardInterrupt())), 10, 1000, disable_progbar=True)
    with pytest.raises(KeyboardInterrupt):
        mcmc.run()
    with pytest.raises(ValueError, match="no draws yet"):
        mcmc.get_samples()


def test_a_run_that_fails_leaves_no_draws_of_the_one_before():
    """Nothing of an earlier run is taken for what a later one has found."""

    def model(scale):
        sample("x", dist.Normal(0.0, scale))

    mcmc = MCMC(NUTS(model), 10, 10, disable_progbar=True)
    mcmc.run(1.0)
    with pytest.raises(TypeError):
        mcmc.run(1.0, "too", "many")
    with pytest.raises(ValueError, match="no draws yet"):
        mcmc.get_samples()


def test_statistics_of_a_stream_are_kept():
    torch.manual_seed(0)
    mcmc = StreamingMCMC(NUTS(stopping(500, KeyboardInterrupt())), 10_000, 10, disable_progbar=True)
    with pytest.raises(KeyboardInterrupt):
        mcmc.run()
    assert mcmc.get_statistics(group_by_chain=False)["x"]["count"] > 10


@pytest.mark.parametrize(
    ("lengths", "kept"), [([9, 9, 2], (2, 9)), ([9, 8, 7], (3, 7)), ([9, 0], (1, 9)), ([], (0, 0))]
)
def test_the_most_draws_of_one_length_are_kept(lengths, kept):
    parts, length = most_draws(lengths, int)
    assert (len(parts), length) == kept
