"""The driver: runs, shapes, diagnostics, warnings, hooks, kernels of others, errors."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ArgumentError, MissingSiteError, NotRunError, PPLWarning, ShapeError
from ppl.infer.initialization import init_to_value
from ppl.infer.mcmc import HMC, MCMC, NUTS, MCMCKernel
from ppl.infer.mcmc.transition.step_records import FIELDS
from ppl.infer.mcmc.util import select_samples
from ppl.primitives import deterministic, factor, plate, sample

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7])

KERNELS = {
    "nuts": lambda model: NUTS(model),
    "slice": lambda model: NUTS(model, use_multinomial_sampling=False),
    "dense": lambda model: NUTS(model, full_mass=True),
    "hmc": lambda model: HMC(model, step_size=0.3, num_steps=5),
}


def model(data=DATA):
    mean = sample("mean", dist.Normal(0.0, 1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    deterministic("ratio", mean / scale)
    with plate("data", len(data)):
        sample("x", dist.Normal(mean, scale), obs=data)


def run(kernel, num_samples=20, warmup_steps=30, *args, seed=0, **options):
    torch.manual_seed(seed)
    mcmc = MCMC(kernel, num_samples, warmup_steps, disable_progbar=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # short chains are not to be trusted
        mcmc.run(*args)
    return mcmc


@pytest.mark.parametrize("method", ["vectorized", "sequential", "hook"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_draws_have_the_shapes_of_chains_draws_and_sites(kernel, method):
    how = {"hook_fn": lambda *_: None} if method == "hook" else {"chain_method": method}
    mcmc = run(KERNELS[kernel](model), 7, 5, DATA, num_chains=3, **how)
    samples = mcmc.get_samples(group_by_chain=True)
    assert set(samples) == {"mean", "scale", "ratio"}
    assert all(x.shape == (3, 7) for x in samples.values())
    assert (samples["scale"] > 0).all()
    assert_close(samples["ratio"], samples["mean"] / samples["scale"])
    flat = mcmc.get_samples()
    assert torch.equal(flat["mean"], samples["mean"].reshape(21))
    assert mcmc.get_samples(num_samples=11)["scale"].shape == (11,)
    fields = mcmc.get_extra_fields()
    places = {f"diverged_at.{name}" for name in ("mean", "scale")}
    assert set(fields) == {*FIELDS, *(places if fields["diverging"].any() else ())}
    assert all(x.shape == (3, 7) for x in fields.values())
    assert fields["diverging"].dtype == torch.bool
    assert ((fields["accept_prob"] >= 0) & (fields["accept_prob"] <= 1)).all()
    assert (fields["num_steps"] >= 1).all()
    assert (fields["energy"] >= fields["potential_energy"]).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_vectorized_and_sequential_chains_are_the_same_chains(kernel):
    together, in_turn = (
        run(KERNELS[kernel](model), 5, 3, num_chains=3, chain_method=method).get_samples()
        for method in ("vectorized", "sequential")
    )
    # single precision rounds a batch of three and of one differently, and trajectories amplify it
    assert_close(together, in_turn, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_seed_reproduces_a_run(kernel):
    one, same = (run(KERNELS[kernel](model), num_chains=2).get_samples() for _ in range(2))
    other = run(KERNELS[kernel](model), num_chains=2, seed=1).get_samples()
    assert torch.equal(one["mean"], same["mean"])
    assert not torch.equal(one["mean"], other["mean"])


def test_draws_do_not_depend_on_the_random_numbers_used_meanwhile():
    def noisy(kernel, params, stage, i):
        torch.randn(3)

    quiet = run(NUTS(model), hook_fn=lambda *_: None).get_samples()
    assert torch.equal(quiet["mean"], run(NUTS(model), hook_fn=noisy).get_samples()["mean"])


def test_diagnostics_are_shaped_like_the_sites_and_by_chain():
    def vector_model():
        sample("z", dist.Normal(torch.zeros(2, 3), 1.0).to_event(2))

    mcmc = run(NUTS(vector_model), 50, 50, num_chains=2)
    found = mcmc.diagnostics()
    assert set(found) == {"z", "divergences", "acceptance rate"}
    assert set(found["z"]) == {"n_eff", "r_hat", "ess_bulk", "ess_tail"}
    assert all(x.shape == (2, 3) for x in found["z"].values())
    assert set(found["divergences"]) == set(found["acceptance rate"]) == {"chain 0", "chain 1"}
    mean = mcmc.get_extra_fields()["accept_prob"].mean(-1)
    assert_close(torch.tensor(list(found["acceptance rate"].values())), mean)


def centered_eight_schools():
    effects = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    mu = sample("mu", dist.Normal(0.0, 5.0))
    tau = sample("tau", dist.HalfCauchy(5.0))
    with plate("schools", 8):
        theta = sample("theta", dist.Normal(mu, tau))
        sample("y", dist.Normal(theta, errors), obs=effects)


def test_the_divergences_of_centered_eight_schools_are_reported_with_what_to_do(capsys):
    torch.manual_seed(0)
    kernel = NUTS(centered_eight_schools, max_tree_depth=6)
    mcmc = MCMC(kernel, 100, 80, num_chains=4, disable_progbar=True)
    with pytest.warns(PPLWarning, match=r"divergent(.|\n)*non-centred"):
        mcmc.run()
    diverging = mcmc.get_extra_fields()["diverging"]
    listed = mcmc.diagnostics()["divergences"]
    for chain in range(4):
        assert listed[f"chain {chain}"] == diverging[chain].nonzero().flatten().tolist()
    mcmc.summary()
    printed = capsys.readouterr().out
    assert f"Number of divergences: {int(diverging.sum())}" in printed
    assert "Do not trust" in printed
    assert "target_accept_prob" in printed
    assert "theta[7]" in printed


def walled():
    """Two numbers whose density falls off a cliff of 2000 nats where one of them exceeds a half."""
    x = sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    factor("wall", -2000.0 * (x[0] > 0.5))


@pytest.mark.parametrize("thinning", [1, 3])
@pytest.mark.parametrize("method", ["vectorized", "sequential", "parallel", "hook"])
@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_divergences_are_reported_with_their_positions(kernel, method, thinning):
    how = {"hook_fn": lambda *_: None} if method == "hook" else {"chain_method": method}
    start = {"x": torch.zeros(3, 2)}
    mcmc = run(
        KERNELS[kernel](walled), 32, 10,
        num_chains=3, initial_params=start, thinning=thinning, **how,
    )  # fmt: skip
    fields = mcmc.get_extra_fields()
    place, diverging = fields["diverged_at.x"], fields["diverging"]
    assert place.shape == (3, 32 // thinning, 2)
    assert diverging.any(-1).all()
    assert (place[diverging][:, 0] > 0.5).all()  # beyond the cliff, where no draw is
    assert place[~diverging].isnan().all()
    assert (mcmc.get_samples()["x"][:, 0] <= 0.5).all()


def test_good_draws_are_called_reliable_and_nobody_is_warned(capsys):
    torch.manual_seed(0)
    mcmc = MCMC(
        NUTS(lambda: sample("z", dist.Normal(0.0, 1.0))),
        1000,
        200,
        num_chains=4,
        disable_progbar=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mcmc.run()
    mcmc.summary()
    assert "look reliable" in capsys.readouterr().out


def test_chains_that_found_different_modes_are_reported():
    def two_modes():
        z = sample("z", dist.Normal(0.0, 100.0))
        sample("x", dist.Normal(z**2, 0.1), obs=torch.tensor(100.0))

    mcmc = MCMC(NUTS(two_modes), 200, 200, num_chains=4, disable_progbar=True)
    mcmc.kernel.initial_params = {"z": torch.tensor([10.0, -10.0, 10.0, -10.0])}
    with pytest.warns(PPLWarning, match="z: r_hat"):
        mcmc.run()


def test_trajectories_that_reach_the_largest_depth_are_reported(capsys):
    mcmc = run(NUTS(lambda: sample("z", dist.Normal(0.0, 1.0)), max_tree_depth=1), 50, 50)
    assert (mcmc.get_extra_fields()["tree_depth"] <= 1).all()
    mcmc.summary()
    assert "max_tree_depth=1" in capsys.readouterr().out


@pytest.mark.parametrize("num_chains", [1, 2])
def test_a_hook_sees_every_draw_with_its_stage(num_chains):
    seen = []
    run(
        NUTS(model),
        3,
        2,
        num_chains=num_chains,
        hook_fn=lambda kernel, params, stage, i: seen.append((stage, i, set(params))),
    )
    labels = [f" [{chain + 1}]" for chain in range(num_chains)] if num_chains > 1 else [""]
    expected = [
        (stage + label, i, {"mean", "scale"})
        for label in labels
        for stage, count in (("Warmup", 2), ("Sample", 3))
        for i in range(count)
    ]
    assert seen == expected


class Metropolis(MCMCKernel):
    """A random walk over one site, as somebody else would write it."""

    def __init__(self):
        self.log = []

    def setup(self, warmup_steps, *args, **kwargs):
        self.log.append(("setup", warmup_steps, args))

    def end_warmup(self):
        self.log.append("end_warmup")

    def cleanup(self):
        self.log.append("cleanup")

    def diagnostics(self):
        return {"acceptance rate": 0.5}

    @property
    def initial_params(self):
        return {"z": torch.zeros(2)}

    def sample(self, params):
        proposal = params["z"] + torch.randn(2)
        accepted = torch.rand(()).log() < (params["z"] ** 2 - proposal**2).sum() / 2
        return {"z": proposal if accepted else params["z"]}


def test_a_kernel_of_somebody_else_is_driven_through_the_protocol(capsys):
    kernel = Metropolis()
    mcmc = run(kernel, 400, 10, "data", num_chains=2)
    assert kernel.log == 2 * [("setup", 10, ("data",)), "end_warmup", "cleanup"]
    assert mcmc.get_samples(group_by_chain=True)["z"].shape == (2, 400, 2)
    assert mcmc.diagnostics()["acceptance rate"] == {"chain 0": 0.5, "chain 1": 0.5}
    mcmc.summary()
    assert "z[1]" in capsys.readouterr().out


def test_transforms_of_the_driver_constrain_the_draws_of_such_a_kernel():
    log = torch.distributions.transforms.ExpTransform().inv
    assert (run(Metropolis(), 5, 5, transforms={"z": log}).get_samples()["z"] > 0).all()


class Lazy(NUTS):
    """A subclass with a transition of its own: it does not move."""

    def sample(self, params):
        return params


def test_a_subclass_with_its_own_transition_is_respected():
    draws = run(Lazy(model)).get_samples()["mean"]
    assert (draws == draws[0]).all()


def test_the_protocol_goes_on_from_whatever_values_it_is_given():
    torch.manual_seed(0)
    kernel = HMC(lambda: sample("z", dist.Normal(0.0, 1.0)), step_size=1e-4, num_steps=1)
    kernel.setup(0)
    moved = kernel.sample({"z": torch.tensor(5.0)})
    assert_close(moved["z"], torch.tensor(5.0), rtol=0, atol=1e-2)
    assert set(kernel.logging()) == {"step size", "acc. prob"}
    assert kernel.diagnostics()["divergences"] == []


def test_a_potential_function_needs_no_model():
    kernel = NUTS(potential_fn=lambda z: 0.5 * ((z["a"] - 3.0) ** 2).sum() + z["b"].cosh())
    start = {"a": torch.zeros(2, 2), "b": torch.zeros(2)}
    samples = run(kernel, 300, 100, initial_params=start, num_chains=2).get_samples(
        group_by_chain=True
    )
    assert samples["a"].shape == (2, 300, 2)
    assert samples["b"].shape == (2, 300)
    assert abs(float(samples["a"].mean()) - 3.0) < 0.2  # four standard errors at ESS 400


def test_chains_start_where_initial_params_say():
    start = {"mean": torch.tensor([1.0, -1.0]), "scale": torch.tensor([0.1, 0.2])}
    mcmc = run(NUTS(model, step_size=1e-6, adapt_step_size=False), 1, 0, initial_params=start,
               num_chains=2)  # fmt: skip
    samples = mcmc.get_samples()
    assert_close(samples["mean"], start["mean"], rtol=0, atol=0.05)
    assert_close(samples["scale"], start["scale"].exp(), rtol=0, atol=0.05)


def test_an_initialization_strategy_chooses_the_start():
    strategy = init_to_value(values={"mean": 2.0, "scale": 0.5})
    kernel = NUTS(model, step_size=1e-6, adapt_step_size=False, init_strategy=strategy)
    samples = run(kernel, 1, 0, num_chains=2).get_samples()
    assert_close(samples["mean"], torch.full((2,), 2.0), rtol=0, atol=0.05)
    assert_close(samples["scale"], torch.full((2,), 0.5), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"mean": torch.zeros(3), "scale": torch.zeros(3)}, ShapeError, "must be 2"),
        ({"mean": torch.zeros(()), "scale": torch.zeros(2)}, ShapeError, "'mean'"),
        ({"mean": torch.zeros(2)}, MissingSiteError, "scale"),
        ({"mean": torch.zeros(2), "scale": torch.zeros(2, 1)}, ShapeError, "'scale'"),
    ],
)
def test_initial_params_of_another_layout_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        MCMC(NUTS(model), 3, 3, initial_params=params, num_chains=2, disable_progbar=True).run()


def test_only_the_wanted_sites_are_kept():
    assert set(run(NUTS(model), save_params=["scale", "ratio"]).get_samples()) == {"scale", "ratio"}


@pytest.mark.parametrize("method", ["vectorized", "sequential", "hook"])
def test_thinning_keeps_the_last_of_each_group_of_draws(method):
    how = {"hook_fn": lambda *_: None} if method == "hook" else {"chain_method": method}
    options = {"step_size": 0.9, "adapt_step_size": False, "max_tree_depth": 3}
    all_of_them, thinned = (
        run(NUTS(centered_eight_schools, **options), 32, 2, num_chains=2, thinning=thinning, **how)
        for thinning in (1, 3)
    )
    for site, draws in all_of_them.get_samples(group_by_chain=True).items():
        kept = thinned.get_samples(group_by_chain=True)[site]
        assert torch.equal(kept, draws[:, [2, 5, 8, 11, 14, 17, 20, 23, 26, 29]])
    fields, few = all_of_them.get_extra_fields(), thinned.get_extra_fields()
    assert torch.equal(few["energy"], fields["energy"][:, 2::3])
    diverging = fields["diverging"][:, :30].reshape(2, 10, 3).any(-1)
    assert fields["diverging"].any()
    assert torch.equal(few["diverging"], diverging)
    assert thinned.diagnostics()["divergences"] == all_of_them.diagnostics()["divergences"]


def test_a_hook_sees_the_kernel_adapt_and_the_draws_that_are_kept():
    steps, seen = [], []

    def hook(kernel, params, stage, i):
        steps.append(kernel.step_size)
        if stage == "Sample":
            seen.append(params["mean"])

    mcmc = run(NUTS(model), 10, 20, hook_fn=hook)
    assert torch.equal(torch.stack(seen), mcmc.get_samples()["mean"])
    assert len(set(steps[:20])) > 10
    assert len(set(steps[20:])) == 1


def test_with_validation_a_run_gives_the_same_draws():
    one = run(NUTS(model), 5, 5).get_samples()
    checked = run(NUTS(model), 5, 5, disable_validation=False).get_samples()
    assert_close(one, checked, rtol=0.02, atol=0.02)


def test_warmup_is_as_long_as_sampling_unless_told_otherwise():
    assert MCMC(NUTS(model), num_samples=10).warmup_steps == 10
    assert MCMC(NUTS(model), num_samples=10, warmup_steps=3).warmup_steps == 3


@pytest.mark.parametrize("warmup_steps", [20, 25, 30, 40, 60])
def test_a_short_warmup_of_many_chains_settles_the_step_size(warmup_steps):
    mcmc = run(NUTS(model), 30, warmup_steps, num_chains=32)
    assert 0.6 < mcmc.get_extra_fields()["accept_prob"].mean() < 0.95


def test_a_trajectory_has_a_length_or_a_number_of_steps():
    assert HMC(model, step_size=0.5).trajectory_length == pytest.approx(6.2831853)
    assert HMC(model, step_size=0.5).num_steps == 12
    kernel = HMC(model, step_size=0.1, num_steps=3)
    assert kernel.trajectory_length == pytest.approx(0.3)
    assert kernel.num_steps == 3
    assert HMC(model, step_size=0.5, trajectory_length=0.1).num_steps == 1


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 10])
def test_rounding_loses_no_leapfrog(num_steps):
    def normal():  # where no trajectory diverges
        sample("z", dist.Normal(0.0, 1.0))

    for step_size in (0.1, 0.0855, 0.3, 1 / 3):
        kernel = HMC(normal, step_size=step_size, num_steps=num_steps, adapt_step_size=False)
        mcmc = run(kernel, 3, 0)
        assert (mcmc.get_extra_fields()["num_steps"] == num_steps).all()


def test_what_was_adapted_can_be_read_from_the_kernel():
    kernel = NUTS(model)
    run(kernel, num_chains=3)
    assert kernel.step_size.shape == (3,)
    assert kernel.inverse_mass_matrix["mean", "scale"].shape == (3, 2)
    assert kernel.flat_inverse_mass_matrix.shape == (3, 2)
    run(kernel)
    assert isinstance(kernel.step_size, float)
    assert kernel.inverse_mass_matrix["mean", "scale"].shape == (2,)
    assert kernel.flat_inverse_mass_matrix.shape == (2,)


def test_double_precision_models_have_double_precision_draws():
    def double_model():
        sample("z", dist.Gamma(torch.tensor(2.0, dtype=torch.float64), 1.0))

    mcmc = run(NUTS(double_model))
    assert mcmc.get_samples()["z"].dtype == torch.float64
    assert mcmc.get_extra_fields()["energy"].dtype == torch.float64


@pytest.mark.parametrize(
    "make",
    [
        lambda: NUTS(),
        lambda: NUTS(model, potential_fn=lambda z: 0.0),
        lambda: NUTS(model, max_tree_depth=0),
        lambda: HMC(model, target_accept_prob=1.0),
        lambda: MCMC(NUTS(model), num_samples=0),
        lambda: MCMC(NUTS(model), 1, num_chains=0),
        lambda: MCMC(NUTS(model), 1, warmup_steps=-1),
        lambda: MCMC(NUTS(model), 1, chain_method="together"),
        lambda: MCMC(NUTS(model), 3, thinning=4),
        lambda: MCMC(NUTS(model), 3, thinning=0),
        lambda: MCMC(NUTS(model), 1).get_samples(),
        lambda: NUTS(model).sample({}),
        lambda: NUTS(model).inverse_mass_matrix,
        lambda: run(NUTS(potential_fn=lambda z: 0.0)),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make):
    with pytest.raises((ArgumentError, NotRunError)):
        make()


def test_resampling_keeps_sites_together():
    samples = {"a": torch.arange(20.0).reshape(2, 10), "b": torch.arange(20.0).reshape(2, 10) + 0.5}
    for grouped in (True, False):
        drawn = select_samples(samples, 7, group_by_chain=grouped)
        assert drawn["a"].shape == ((2, 7) if grouped else (7,))
        assert torch.equal(drawn["a"] + 0.5, drawn["b"])


def test_the_progress_bar_pools_the_chains_and_can_be_switched_off(capsys):
    mcmc = MCMC(NUTS(model), 20, 30, num_chains=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mcmc.run()
    shown = capsys.readouterr().err
    assert "100/100" in shown
    assert all(word in shown for word in ("Warmup", "step size", "acc. prob", "divergences"))
    run(NUTS(model))
    assert capsys.readouterr().err == ""


def test_kernels_are_found_through_the_facade_and_the_registry():
    code = (
        "import ppl.infer, ppl.plugins as p;"
        "assert ppl.infer.NUTS is p.load('ppl.kernels', 'NUTS');"
        "assert ppl.infer.HMC is p.load('ppl.kernels', 'HMC');"
        "assert ppl.infer.MCMC.__module__ == 'ppl.infer.mcmc.api'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
