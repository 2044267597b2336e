"""Chains that run free of each other draw what each of them draws alone, bit for bit."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch

import ppl.distributions as dist
from ppl.engine.cpp_library import find_compiler
from ppl.errors import PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.infer.mcmc.chains import execution, free_chains
from ppl.primitives import deterministic, factor, plate, sample
from ppl.randomness import set_rng_seed

pytestmark = [
    pytest.mark.skipif(find_compiler() is None, reason="nothing can be compiled"),
    pytest.mark.filterwarnings("ignore::ppl.errors.PPLWarning"),
]

Y = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
X = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))


def schools():
    mu = sample("mu", dist.Normal(0.0, 5.0))
    tau = sample("tau", dist.HalfCauchy(5.0))
    with plate("schools", 8):
        theta = sample("theta", dist.Normal(mu, tau))  # centred: there are divergences
        sample("y", dist.Normal(theta, SIGMA), obs=Y)


def regression():
    weights = sample("weights", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    with plate("rows", 30):
        sample("y", dist.Bernoulli(logits=X @ weights), obs=(X[:, 0] > 0).float())


def process():
    x = X[:, 0].double()
    length = sample("length", dist.LogNormal(torch.zeros((), dtype=torch.float64), 1.0))
    kernel = torch.exp(-((x[:, None] - x) ** 2) / length) + 0.1 * torch.eye(30)
    sample("y", dist.MultivariateNormal(torch.zeros_like(x), kernel), obs=x.sin())


def often_without_factors():
    """The matrix has no factors where the correlation is beyond one: an operation fails there."""
    rho = sample("rho", dist.Normal(0.0, 1.0))
    one = torch.ones_like(rho)
    matrix = torch.stack([one, rho, rho, one]).reshape(2, 2)
    factor("fit", torch.linalg.cholesky(matrix).diagonal().log().sum())


def derived():
    x = sample("x", dist.Normal(0.0, 1.0))
    deterministic("twice", 2 * x)


MODELS = [schools, regression, process, often_without_factors, derived]


def run(kernel, **options):
    set_rng_seed(3)
    options = {"num_samples": 120, "warmup_steps": 150, "num_chains": 3, **options}
    mcmc = MCMC(kernel, disable_progbar=True, **options)
    mcmc.run()
    return mcmc


def draws(mcmc):
    return {**mcmc.get_samples(group_by_chain=True), **mcmc.get_extra_fields()}


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name].isnan(), other[name].isnan()), name
        assert torch.equal(one[name].nan_to_num(), other[name].nan_to_num()), name


def through_python(monkeypatch):
    """Let chains run one after another, each leapfrog with a call of the compiled potential."""
    monkeypatch.setattr(execution, "_may_run_free", lambda position: False)
    return {"chain_method": "sequential"}


KERNELS = {
    "nuts": lambda model: NUTS(model, jit_compile=True),
    "slice": lambda model: NUTS(model, jit_compile=True, use_multinomial_sampling=False),
    "dense": lambda model: NUTS(model, jit_compile=True, full_mass=True),
    "hmc": lambda model: HMC(model, jit_compile=True, step_size=0.1, num_steps=5),
}
every_kernel = pytest.mark.parametrize("make", KERNELS.values(), ids=KERNELS)
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@every_model
@every_kernel
def test_free_chains_draw_what_a_chain_draws_through_python(model, make, monkeypatch):
    free = draws(run(make(model)))
    assert_same_bits(free, draws(run(make(model), **through_python(monkeypatch))))


@every_model
def test_chains_draw_the_same_in_threads_and_one_after_another(model, monkeypatch):
    monkeypatch.setattr("ppl.infer.mcmc.driver.batches.most_threads", lambda: 3)
    make = KERNELS["nuts"]
    expected = draws(run(make(model), chain_method="sequential"))
    assert_same_bits(draws(run(make(model))), expected)
    assert_same_bits(draws(run(make(model), num_processes=3)), expected)


def test_a_chain_draws_the_same_whatever_runs_beside_it():
    start = torch.tensor([0.5, -0.5, 1.0])
    three = draws(run(KERNELS["nuts"](derived), initial_params={"x": start}))["x"]
    two = draws(run(KERNELS["nuts"](derived), initial_params={"x": start[:2]}, num_chains=2))["x"]
    assert torch.equal(two, three[:2])
    assert len(three.unique(dim=0)) == 3


def test_divergences_are_those_of_the_draws():
    mcmc = run(KERNELS["nuts"](schools), num_samples=400)
    diverging = mcmc.get_extra_fields()["diverging"]
    assert diverging.sum() > 0
    listed = mcmc.diagnostics()["divergences"]
    for chain, row in enumerate(diverging):
        assert listed[f"chain {chain}"] == row.nonzero().flatten().tolist()


def test_more_divergences_than_a_call_has_room_for_are_kept(monkeypatch):
    monkeypatch.setattr(free_chains, "MOST_DIVERGENCES", 40)
    kernel = HMC(schools, jit_compile=True, step_size=40.0, num_steps=2, adapt_step_size=False)
    mcmc = run(kernel, num_samples=300, warmup_steps=0)
    assert mcmc.get_extra_fields()["diverging"].sum() > 500
    listed = mcmc.diagnostics()["divergences"]
    assert sum(map(len, listed.values())) == mcmc.get_extra_fields()["diverging"].sum()


def test_the_tuning_of_all_chains_can_be_read_and_used_again():
    kernel = KERNELS["nuts"](regression)
    run(kernel)
    assert kernel.step_size.shape == (3,)
    assert kernel.flat_inverse_mass_matrix.shape == (3, 3)
    kernel.step_size = kernel.step_size * 0.5
    run(kernel, warmup_steps=0)
    assert kernel.step_size.shape == (3,)


def test_threads_are_as_many_afterwards_as_before():
    before = torch.get_num_threads()
    run(KERNELS["nuts"](derived))
    assert torch.get_num_threads() == before


# what goes wrong


class Unlucky(RuntimeError):
    pass


def test_an_error_in_one_thread_ends_all_and_keeps_what_was_drawn(monkeypatch):
    monkeypatch.setattr("ppl.infer.mcmc.driver.batches.most_threads", lambda: 3)
    monkeypatch.setattr(free_chains, "WORK_OF_A_CALL", 2**14)
    advance, lock, calls = free_chains.FreeChain._advance, threading.Lock(), []

    def fail_late(chain, num_steps):
        with lock:
            calls.append(1)
            if len(calls) == 3000:
                raise Unlucky
        advance(chain, num_steps)

    monkeypatch.setattr(free_chains.FreeChain, "_advance", fail_late)
    kernel = KERNELS["nuts"](regression)
    mcmc = MCMC(kernel, 10**6, 100, num_chains=3, disable_progbar=True)
    with pytest.raises(Unlucky):
        mcmc.run()
    found = mcmc.get_samples(group_by_chain=True)["weights"]
    assert found.shape[1] > 100
    assert found.unique(dim=1).shape[1] > 50
    assert not [t for t in threading.enumerate() if t.name.startswith("ppl-chain")]


def test_a_potential_that_cpp_cannot_repeat_runs_as_before_and_a_warning_says_why():
    def convolved():
        x = sample("x", dist.Normal(torch.zeros(8), 1.0).to_event(1))
        smooth = torch.conv1d(x[None, None], torch.ones(1, 1, 3))
        sample("y", dist.Normal(smooth.sum(), 1.0), obs=torch.tensor(1.0))

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        x = draws(run(KERNELS["nuts"](convolved)))["x"]
    assert x.shape == (3, 120, 8)
    told = [str(w.message) for w in seen if issubclass(w.category, PPLWarning)]
    assert sum("together instead of free" in text and "convolution" in text for text in told) == 1
