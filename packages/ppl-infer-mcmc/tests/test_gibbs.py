"""Gibbs sampling has the posterior of all sites, by enumeration and by a joint test.

Statistical comparisons have levels of 1e-4 to 1e-5 each, with fixed seeds.
"""

from __future__ import annotations

import itertools
import pickle
import warnings
from functools import partial

import pytest
import torch
from scipy import stats as scipy_stats
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ArgumentError, NotRunError, PPLError, PPLWarning, SiteError
from ppl.infer.mcmc import (
    HMC,
    MCMC,
    NUTS,
    DiscreteGibbs,
    Gibbs,
    MCMCKernel,
    RandomWalkKernel,
)
from ppl.ops import stats
from ppl.poutine import condition, trace
from ppl.primitives import deterministic, plate, sample

Y = torch.tensor([-0.5, 1.2, 2.5, 0.9])


def run(kernel, num_samples, warmup_steps, *args, **options):
    torch.manual_seed(0)
    mcmc = MCMC(kernel, num_samples, warmup_steps, disable_progbar=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # the chains are short
        mcmc.run(*args)
    return mcmc


def coupled(y):
    """Two discrete sites, one in a plate; all elements of the plate have a common child."""
    k = sample("k", dist.Categorical(torch.tensor([0.5, 0.3, 0.2])))
    with plate("pair", 2):
        z = sample("z", dist.Bernoulli(0.2 + 0.3 * k.unsqueeze(-1)))
    sample("y", dist.Normal(z.sum(-1) + k, 1.0), obs=y)


def chained(y):
    k = sample("k", dist.Categorical(torch.tensor([0.5, 0.3, 0.2])))
    z = sample("z", dist.Bernoulli(0.2 + 0.3 * k))
    sample("y", dist.Normal(2.0 * z + k, 1.0), obs=y)


def exact(model, y, supports):
    """Return the posterior probabilities of all combinations of values."""
    combinations = list(itertools.product(*(itertools.product(*s) for s in supports.values())))
    log_joints = []
    for values in combinations:
        data = {}
        for (name, axes), value in zip(supports.items(), values, strict=True):
            scalar = torch.tensor(value[0]) if len(axes) == 1 else torch.tensor(value)
            data[name] = scalar
        log_joints.append(trace(condition(model, data=data)).get_trace(y).log_prob_sum())
    return combinations, torch.stack(log_joints).softmax(0)


@pytest.mark.parametrize(
    ("model", "z_support", "joint"),
    [
        (chained, [(0.0, 1.0)], True),
        (chained, [(0.0, 1.0)], False),
        (coupled, [(0.0, 1.0), (0.0, 1.0)], False),
    ],
)
def test_discrete_sites_have_their_joint_posterior(model, z_support, joint):
    y = torch.tensor(1.5)
    combinations, probs = exact(model, y, {"k": [(0, 1, 2)], "z": z_support})
    draws = run(DiscreteGibbs(model, joint=joint), 300, 10, y).get_samples()
    rows = [
        ((int(k),), tuple(torch.atleast_1d(z).tolist()))
        for k, z in zip(draws["k"], draws["z"], strict=True)
    ]
    for combination, prob in zip(combinations, probs.tolist(), strict=True):
        hits = torch.tensor([row == combination for row in rows]).double()[None]
        error = stats.mcse_mean(hits).nan_to_num(0.0) + (prob * (1 - prob) / 300) ** 0.5
        assert abs(hits.mean() - prob) < 4 * error


def test_a_common_child_of_a_plate_is_drawn_element_by_element_with_a_warning():
    kernel = DiscreteGibbs(coupled)
    with pytest.warns(PPLWarning, match="one element after another"):
        kernel.setup(0, torch.tensor(1.0))
    assert kernel.sample(kernel.initial_params)["z"].shape == (2,)


def mixture(y):
    weight = sample("weight", dist.Beta(2.0, 2.0))
    deterministic("odds", weight / (1 - weight))
    with plate("rows", len(y)):
        high = sample("high", dist.Bernoulli(weight))
        sample("y", dist.Normal(2.0 * high, 1.0), obs=y)


def exact_mixture():
    """Return the posterior means of ``weight`` and ``high``: a mixture of Beta posteriors."""
    rows = torch.tensor(list(itertools.product([0.0, 1.0], repeat=len(Y))))
    a, b = 2 + rows.sum(1), 2 + len(Y) - rows.sum(1)
    evidence = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    probs = (evidence + dist.Normal(2.0 * rows, 1.0).log_prob(Y).sum(1)).softmax(0)
    return (probs * a / (a + b)).sum(), probs @ rows


@pytest.mark.parametrize(
    "kernel",
    [
        partial(NUTS, max_tree_depth=4),
        partial(HMC, trajectory_length=1.5),
        partial(RandomWalkKernel, target_accept_prob=0.4),
    ],
)
def test_a_mixture_has_its_posterior(kernel):
    gibbs = Gibbs([(kernel, ["weight"]), (DiscreteGibbs, ["high"])], mixture)
    draws = run(gibbs, 300, 60, Y).get_samples(group_by_chain=True)
    weight, high = exact_mixture()
    assert abs(draws["weight"].mean() - weight) < 4 * stats.mcse_mean(draws["weight"])
    assert ((draws["high"].mean((0, 1)) - high).abs() < 4 * stats.mcse_mean(draws["high"])).all()
    assert_close(draws["odds"], draws["weight"] / (1 - draws["weight"]))


REPLICATIONS = 400


def replicated(y):
    with plate("replications", len(y)):
        loc = sample("loc", dist.Gamma(2.0, 2.0))
        z = sample("z", dist.Bernoulli(0.3))
        mean = (loc + 2 * z)[..., None] * torch.ones(2)
        sample("y", dist.Normal(mean, 1.0).to_event(1), obs=y)


def joint_test(make, turns=4):
    """Return p-values of draws of the joint distribution, see `geweke`."""
    torch.manual_seed(0)
    loc = dist.Gamma(2.0, 2.0).sample((REPLICATIONS,))
    z = dist.Bernoulli(0.3).sample((REPLICATIONS,))
    for _ in range(turns):
        y = (loc + 2 * z)[:, None] + torch.randn(REPLICATIONS, 2)
        kernel = make(replicated)
        kernel.initial_params = {"loc": loc.log(), "z": z}
        kernel.setup(0, y)
        draw = kernel.sample(kernel.sample(kernel.initial_params))
        loc, z = draw["loc"].exp(), draw["z"]
    residual = y.mean(1) - loc - 2 * z
    return [
        scipy_stats.kstest(loc, scipy_stats.gamma(2, scale=0.5).cdf).pvalue,
        scipy_stats.kstest(residual * 2**0.5, scipy_stats.norm.cdf).pvalue,
        scipy_stats.binomtest(int(z.sum()), REPLICATIONS, 0.3).pvalue,
    ]


def blocks(model):
    kernel = partial(NUTS, step_size=0.2, max_tree_depth=4)
    return Gibbs([(kernel, ["loc"]), (DiscreteGibbs, ["z"])], model)


def test_discrete_and_continuous_sites_keep_the_joint_distribution():
    assert min(joint_test(blocks)) > 1e-5


def test_discrete_draws_that_ignore_the_data_fail(monkeypatch):
    monkeypatch.setattr(
        DiscreteGibbs,
        "_draw_together",
        lambda self: {"z": dist.Bernoulli(0.3).sample((REPLICATIONS,))},
    )
    assert min(joint_test(blocks)) < 1e-5


class Conjugate(MCMCKernel):
    """Somebody's kernel: the weight of the mixture given the labels, exactly."""

    def __init__(self, model):
        self.model = model

    @property
    def initial_params(self):
        return {"weight": torch.zeros(())}

    def sample(self, params):
        high = self.changing["high"]
        beta = dist.Beta(2 + high.sum(), 2 + len(high) - high.sum())
        return {"weight": beta.sample().logit()}


def test_a_kernel_of_ones_own_sees_the_values_of_the_other_blocks():
    gibbs = Gibbs([(Conjugate, ["weight"]), (DiscreteGibbs, ["high"])], mixture)
    draws = run(gibbs, 300, 0, Y).get_samples(group_by_chain=True)
    weight, high = exact_mixture()
    assert abs(draws["weight"].mean() - weight) < 4 * stats.mcse_mean(draws["weight"])


def branching():
    z = sample("z", dist.Bernoulli(0.5))
    sample("x", dist.Normal(2.0 if z else -2.0, 1.0))


def test_a_branch_on_a_site_of_another_block_is_not_frozen():
    gibbs = Gibbs([(partial(NUTS, max_tree_depth=3), ["x"]), (DiscreteGibbs, ["z"])], branching)
    draws = run(gibbs, 100, 50).get_samples()
    assert 0 < draws["z"].sum() < 100
    assert draws["x"][draws["z"] == 1].mean() > 1 > -1 > draws["x"][draws["z"] == 0].mean()


def test_kernels_can_be_pickled():
    gibbs = Gibbs([(NUTS, ["weight"]), (DiscreteGibbs(mixture), ["high"])], mixture)
    gibbs.setup(0, Y)
    other = pickle.loads(pickle.dumps(gibbs))
    other.setup(0, Y)
    assert set(other.initial_params) == {"weight", "high"}


def test_kernels_are_copied_and_bring_their_model():
    nuts = NUTS(mixture, max_tree_depth=3)
    gibbs = Gibbs([(nuts, ["weight"]), (DiscreteGibbs(mixture), ["high"])])
    mcmc = run(gibbs, 5, 5, Y, num_chains=2)
    assert nuts.model is mixture
    assert mcmc.get_samples(group_by_chain=True)["high"].shape == (2, 5, len(Y))
    assert "acceptance rate of weight" in mcmc.diagnostics()
    assert mcmc.get_extra_fields()["diverging"].shape == (2, 5)


def test_chains_start_where_initial_params_say():
    start = {"weight": torch.tensor(1.0), "high": torch.ones(len(Y))}
    gibbs = blocks_of_mixture()
    gibbs.initial_params = start
    gibbs.setup(0, Y)
    for name, value in gibbs.initial_params.items():
        assert_close(value, start[name])


def blocks_of_mixture():
    return Gibbs([(NUTS, ["weight"]), (DiscreteGibbs, ["high"])], mixture)


def test_a_seed_repeats_a_run():
    first, second = (run(blocks_of_mixture(), 5, 5, Y).get_samples() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gibbs([(NUTS, ["weight"])]), "no model"),
        (lambda: Gibbs([NUTS], mixture), "pair"),
        (lambda: Gibbs([(NUTS, "weight")], mixture), "list of names"),
        (lambda: Gibbs([(NUTS, [])], mixture), "no sites"),
        (lambda: Gibbs([(NUTS, ["weight"]), (HMC, ["weight"])], mixture), "several blocks"),
        (lambda: Gibbs([(NUTS, ["weight"])], mixture).setup(0, Y), r"\(DiscreteGibbs, \['high'\]"),
        (lambda: Gibbs([(NUTS, ["wieght"])], mixture).setup(0, Y), "did you mean 'weight'"),
        (lambda: Gibbs([(NUTS, ["weight", "high"])], mixture).setup(0, Y), "'high' is discrete"),
        (lambda: DiscreteGibbs(mixture).setup(0, Y), "'weight' is continuous"),
        (
            lambda: DiscreteGibbs(lambda: sample("n", dist.Poisson(1.0))).setup(0),
            "infinitely many",
        ),
        (lambda: blocks_of_mixture().sample({}), "setup"),
        (lambda: DiscreteGibbs(mixture).sample({}), "setup"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(make, message):
    with pytest.raises((ArgumentError, SiteError, NotRunError), match=message) as caught:
        make()
    assert isinstance(caught.value, PPLError)
