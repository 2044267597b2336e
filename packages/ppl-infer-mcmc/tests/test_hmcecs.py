"""HMCECS has the posterior it says it has; plain kernels refuse to subsample.

Statistical comparisons have levels of 1e-4 each, with fixed seeds.
"""

from __future__ import annotations

import itertools
import warnings
from functools import partial

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import (
    ArgumentError,
    MissingSiteError,
    NotRunError,
    PPLWarning,
    UnsupportedModelError,
)
from ppl.infer.layout import Layout
from ppl.infer.mcmc import HMC, HMCECS, MCMC, NUTS, RandomWalkKernel
from ppl.infer.mcmc.slot import Slot
from ppl.infer.mcmc.subsampled_density import ChosenRows, SubsampledDensity
from ppl.infer.mcmc.target.potential import ModelPotential
from ppl.ops import stats
from ppl.primitives import deterministic, plate, sample

ROWS = 400
QUICK = partial(HMC, step_size=0.3, num_steps=4)
LONG = partial(HMC, step_size=0.1, num_steps=4)
SHORT = partial(HMC, step_size=0.03, num_steps=3)  # for posteriors of many rows


def generator():
    return torch.Generator().manual_seed(0)


X = torch.randn(ROWS, 2, generator=generator(), dtype=torch.float64)
LABELS = (torch.rand(ROWS, generator=generator()) < X[:, 0].sigmoid()).double()


def run(kernel, num_samples, warmup_steps, *args, **options):
    torch.manual_seed(0)
    mcmc = MCMC(kernel, num_samples, warmup_steps, disable_progbar=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # the chains are short
        mcmc.run(*args)
    return mcmc


def normal(number):
    mean = sample("mean", dist.Normal(torch.tensor(0.0).double(), 10.0))
    deterministic("twice", 2 * mean)
    with plate("rows", ROWS, subsample_size=number) as rows:
        deterministic("of_rows", mean + 0 * X[rows, 0])
        sample("x", dist.Normal(mean, 1.0), obs=X[rows, 0])


def logistic(number):
    weight = sample("weight", dist.LogNormal(torch.tensor(0.0).double(), 1.0))
    with plate("rows", ROWS, subsample_size=number) as rows:
        sample("y", dist.Bernoulli(logits=weight * X[rows, 0]), obs=LABELS[rows])


@pytest.mark.parametrize("kernel", [partial(NUTS, max_tree_depth=2), SHORT])
def test_where_the_expansion_is_exact_so_is_the_posterior(kernel):
    mcmc = run(HMCECS(kernel(normal)), 200, 100, 20)
    draws = mcmc.get_samples(group_by_chain=True)
    variance = 1 / (ROWS + 0.01)
    mean = variance * X[:, 0].sum()
    assert abs(draws["mean"].mean() - mean) < 4 * stats.mcse_mean(draws["mean"])
    squares = (draws["mean"] - mean) ** 2
    assert abs(squares.mean() - variance) < 4 * stats.mcse_mean(squares)
    assert_close(draws["twice"], 2 * draws["mean"])
    assert "of_rows" not in draws  # it is that of some rows only
    assert mcmc.diagnostics()["variance of the log density"]["chain 0"] < 1e-6
    assert mcmc.diagnostics()["acceptance rate of subsamples"]["chain 0"] > 0.99


@pytest.mark.parametrize("degree", [1, 2])
def test_a_subsample_has_the_posterior_of_all_data(degree):
    kernel = HMCECS(LONG(logistic), num_blocks=4, degree=degree)
    z = run(kernel, 400, 100, 80).get_samples(group_by_chain=True)["weight"].log()
    grid = torch.linspace(-3, 3, 2001).double()
    logits = grid.exp()[:, None] * X[:, 0]
    log_joint = dist.Bernoulli(logits=logits).log_prob(LABELS).sum(1) - grid**2 / 2
    weights = log_joint.softmax(0)
    for power in (1, 2):
        assert abs((z**power).mean() - weights @ grid**power) < 4 * stats.mcse_mean(z**power)


FEW = torch.tensor([0.5, 1.5, 3.0]).double()


def three_rows():
    """Likelihoods that their expansions follow badly, so that the choice of rows matters."""
    weight = sample("weight", dist.Normal(torch.tensor(0.0).double(), 1.0))
    with plate("rows", 3, subsample_size=2) as rows:
        logits = weight * FEW[rows]
        sample("y", dist.Bernoulli(logits=logits), obs=torch.tensor([1.0, 0.0, 1.0]).double()[rows])


REFERENCE = {"weight": torch.tensor(0.3)}


def exact_moments(reference):
    """Integrate the estimated density over positions and sum it over all subsamples."""
    z = torch.linspace(-8, 8, 4001).double()
    rows = Slot({"rows": torch.tensor([0, 1])})
    potential = ModelPotential(ChosenRows(rows)(three_rows), (), {})
    density = SubsampledDensity(
        potential, Layout.of({"weight": z[0]}), {"rows": (3, 2)}, rows, degree=1
    )
    density.expand(z[:1], reference)
    total = torch.zeros_like(z)
    for pair in itertools.product(range(3), repeat=2):
        with rows.holding({"rows": torch.tensor(pair)}):
            total += torch.func.vmap(density)(z[:, None]).neg().exp()
    weights = total / total.sum()
    return (weights * z).sum(), (weights * z**2).sum()


def test_rows_and_sites_have_the_density_that_the_estimate_defines():
    kernel = HMCECS(QUICK(three_rows), num_blocks=2, degree=1, reference=REFERENCE)
    draws = run(kernel, 500, 100).get_samples(group_by_chain=True)["weight"]
    for power, moment in enumerate(exact_moments(REFERENCE), 1):
        x = draws**power
        assert abs(x.mean() - moment) < 4 * stats.mcse_mean(x)


def walk_over_rows(num_steps=1500):
    """Return how often each pair of rows was in use at one position, and how probable each is."""
    torch.manual_seed(0)
    kernel = HMCECS(QUICK(three_rows), num_blocks=2, degree=1, reference=REFERENCE)
    kernel.setup(0)
    params = {"weight": torch.tensor(2.5).double()}
    pairs = list(itertools.product(range(3), repeat=2))
    found = dict.fromkeys(pairs, 0)
    for _ in range(num_steps):
        kernel._change_rows(params)
        found[tuple(kernel._rows["rows"].tolist())] += 1
    log_density = []
    for pair in pairs:
        with kernel._rows.holding({"rows": torch.tensor(pair)}):
            log_density.append(-kernel._density(torch.tensor([2.5]).double()))
    return torch.tensor([found[pair] for pair in pairs]) / num_steps, torch.stack(log_density)


def test_rows_are_as_frequent_as_their_estimates_are_large():
    shares, log_density = walk_over_rows()
    probs = log_density.softmax(0)
    assert probs.max() > 3 * probs.min()
    error = (10 * probs * (1 - probs) / 1500).sqrt()  # successive rows are alike: a tenth counts
    assert ((shares - probs).abs() < 4 * error).all()


def test_rows_that_are_never_rejected_fail_that_test(monkeypatch):
    monkeypatch.setattr(HMCECS, "_energy", lambda self, params: torch.zeros(()))
    shares, log_density = walk_over_rows()
    probs = log_density.softmax(0)
    error = (10 * probs * (1 - probs) / 1500).sqrt()
    assert not ((shares - probs).abs() < 4 * error).all()


def test_the_mode_is_that_of_all_data():
    kernel = HMCECS(NUTS(normal))
    kernel.setup(0, 20)
    assert_close(kernel.initial_params["mean"], X[:, 0].sum() / (ROWS + 0.01), rtol=1e-4, atol=1e-6)


def test_an_estimate_that_varies_too_much_is_told():
    kernel = HMCECS(QUICK(three_rows), degree=1, reference=REFERENCE)
    kernel.setup(0)
    kernel._variances = [0.0, 0.0, 5.0, 6.0]  # the first half may be far from the posterior
    with pytest.warns(PPLWarning, match="has a variance of 5.5"):
        kernel.end_warmup()


def test_a_reference_far_from_the_mode_is_told():
    kernel = HMCECS(NUTS(logistic), reference={"weight": torch.tensor(9.0)})
    with pytest.warns(PPLWarning, match="standard deviations away from the mode"):
        kernel.setup(0, 20)


def local(number):
    with plate("rows", ROWS, subsample_size=number) as rows:
        z = sample("z", dist.Normal(0.0, 1.0))
        sample("x", dist.Normal(z, 1.0), obs=X[rows, 0])


def discrete(number):
    k = sample("k", dist.Bernoulli(0.5))
    with plate("rows", ROWS, subsample_size=number) as rows:
        sample("x", dist.Normal(k, 1.0), obs=X[rows, 0])


def nested(number):
    z = sample("z", dist.Normal(0.0, 1.0))
    with plate("rows", ROWS, subsample_size=number) as rows, plate("columns", 2, subsample_size=1):
        sample("x", dist.Normal(z, 1.0), obs=X[rows, 0].expand(1, -1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: HMCECS(RandomWalkKernel(normal)), ArgumentError, "follows gradients"),
        (lambda: HMCECS(NUTS(potential_fn=lambda z: z["x"])), ArgumentError, "potential_fn"),
        (lambda: HMCECS(NUTS(normal), degree=3), ArgumentError, "degree"),
        (lambda: HMCECS(NUTS(normal), num_blocks=30).setup(0, 20), ArgumentError, "num_blocks=30"),
        (lambda: HMCECS(NUTS(normal)).setup(0, 1), ArgumentError, "at least 2"),
        (lambda: HMCECS(NUTS(normal)).setup(0, None), UnsupportedModelError, "no plate"),
        (lambda: HMCECS(NUTS(local)).setup(0, 20), UnsupportedModelError, "'z' is latent"),
        (lambda: HMCECS(NUTS(discrete)).setup(0, 20), UnsupportedModelError, "'k' is discrete"),
        (lambda: HMCECS(NUTS(nested)).setup(0, 20), UnsupportedModelError, "both subsample"),
        (
            lambda: HMCECS(NUTS(normal), reference={"men": 0.0}).setup(0, 20),
            MissingSiteError,
            "mean",
        ),
        (lambda: HMCECS(NUTS(normal)).sample({}), NotRunError, "setup"),
    ],
)
def test_what_cannot_be_subsampled_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def own_subsample():
    mean = sample("mean", dist.Normal(0.0, 1.0))
    with plate("rows", ROWS, subsample=torch.randperm(ROWS)[:10]) as rows:
        sample("x", dist.Normal(mean, 1.0), obs=X[rows, 0].float())


@pytest.mark.parametrize("kernel", [HMC, NUTS, RandomWalkKernel])
@pytest.mark.parametrize("model", [partial(normal, 20), own_subsample])
def test_plain_kernels_refuse_to_subsample_and_say_what_to_write(kernel, model):
    with pytest.raises(UnsupportedModelError, match=r"'rows' draws .*HMCECS\(NUTS\(model\)\)"):
        run(kernel(model), 5, 5)


def test_a_fixed_part_of_a_plate_is_no_subsample():
    def model():
        mean = sample("mean", dist.Normal(0.0, 1.0))
        with plate("rows", ROWS, subsample=[1, 2, 3]) as rows:
            sample("x", dist.Normal(mean, 1.0), obs=X[rows, 0].float())

    assert run(NUTS(model), 5, 5).get_samples()["mean"].shape == (5,)
