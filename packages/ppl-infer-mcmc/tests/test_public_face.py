"""Laws of everything public: runs leave no trace, copies are whole, wrong arguments are named.

What was missing: no test ran a kernel twice, ran one inside a handler, copied one, or handed it an
argument of another kind.
"""

from __future__ import annotations

import copy
import pickle
import sys
import warnings

import pytest
import torch
from torch.distributions.transforms import ExpTransform
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import (
    ArgumentError,
    ArgumentTypeError,
    MissingSiteError,
    PPLWarning,
    SiteTypeError,
)
from ppl.infer.mcmc import (
    HMC,
    MCMC,
    NUTS,
    ArrowheadMassMatrix,
    RandomWalkKernel,
    StreamingMCMC,
    initialize_model,
)
from ppl.primitives import plate, sample


def model(size=2):
    sample("a", dist.Normal(torch.zeros(size), 1.0).to_event(1))
    sample("b", dist.Normal(0.0, 1.0))


def observed(y=1.0):
    sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(y))


def in_plate():
    with plate("d", 2):
        sample("x", dist.Normal(0.0, 1.0))


KERNELS = {"nuts": NUTS, "hmc": lambda model: HMC(model, num_steps=3), "walk": RandomWalkKernel}
every_kernel = pytest.mark.parametrize("make", KERNELS.values(), ids=KERNELS)
every_way = pytest.mark.parametrize("way", [{}, {"chain_method": "sequential"}, "hook"], ids=str)


def run(kernel, *args, driver=MCMC, way=None, **options):
    way = {"hook_fn": lambda *_: None} if way == "hook" else way or {}
    torch.manual_seed(0)
    mcmc = driver(kernel, **{"num_samples": 4, "warmup_steps": 4, "disable_progbar": True, **way,
                             **options})  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)
        mcmc.run(*args)
    return mcmc


@every_way
@every_kernel
def test_a_run_after_any_other_is_the_run_of_a_new_kernel(make, way):
    kernel, new = make(model), run(make(model), way=way).get_samples()
    far = {"a": torch.full((2, 3), 50.0), "b": torch.full((2,), 50.0)}
    run(kernel, 3, initial_params=far, num_chains=2, transforms={"b": ExpTransform()}, way=way)
    again = run(kernel, way=way).get_samples()
    for name in new:
        assert torch.equal(again[name], new[name])


@every_way
@pytest.mark.parametrize("driver", [MCMC, StreamingMCMC])
@every_kernel
def test_handlers_around_a_run_do_not_see_it(make, driver, way):
    if driver is StreamingMCMC and isinstance(way, dict):
        way = {}
    with poutine.trace() as outer, poutine.condition(data={"x": torch.zeros(2)}), plate("e", 3):
        inner = run(make(in_plate), driver=driver, way=way)
        run(make(in_plate), driver=driver, way=way)
    assert set(outer.trace.nodes) <= {"e"}
    if driver is MCMC:
        alone = run(make(in_plate), way=way).get_samples()
        assert torch.equal(inner.get_samples()["x"], alone["x"])


HANDLERS = {
    "replay": lambda fn: poutine.replay(fn, trace=poutine.trace(in_plate).get_trace()),
    "lift": lambda fn: poutine.lift(fn, prior=dist.Normal(0.0, 1.0)),
    "mask": lambda fn: poutine.mask(fn, mask=torch.zeros(2, dtype=torch.bool)),
    "scale": lambda fn: poutine.scale(fn, scale=0.01),
    "seed": lambda fn: poutine.seed(fn, rng_seed=3),
    "block": lambda fn: poutine.block(fn),
    "plate": lambda fn: plate("d", 5)(fn),
}


@pytest.mark.parametrize("driver", [MCMC, StreamingMCMC])
@pytest.mark.parametrize("handler", HANDLERS)
@every_kernel
def test_no_handler_changes_a_run_inside_it(make, handler, driver):
    """The law: inference within a program is one of its computations, whatever is around it."""
    found = []

    def program():
        mcmc = run(make(in_plate), driver=driver)
        found.append(mcmc.get_samples() if driver is MCMC else mcmc.get_statistics(False))

    program()
    HANDLERS[handler](program)()
    assert_close(found[1], found[0], rtol=0, atol=0)


@every_kernel
def test_handlers_around_a_kernel_by_hand_do_not_see_it(make):
    with poutine.trace() as outer, poutine.condition(data={"x": torch.zeros(2)}):
        start, potential, _, _ = initialize_model(in_plate)
        potential(start)
        potential.constrain(start)
        kernel = make(in_plate)
        kernel.setup(1)
        assert set(kernel(kernel.initial_params)) == {"x"}
    assert not outer.trace.nodes


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, "pickle"], ids=["copy", "deepcopy", "pickle"]
)
@pytest.mark.parametrize("driver", [MCMC, StreamingMCMC])
@pytest.mark.parametrize("ran", [False, True])
@every_kernel
def test_a_copy_has_draws_and_tuning_and_runs_like_the_original(make, ran, driver, duplicate):
    if duplicate == "pickle":
        duplicate = lambda thing: pickle.loads(pickle.dumps(thing))  # noqa: E731
    mcmc = run(make(model), driver=driver) if ran else driver(make(model), 4, disable_progbar=True)
    other = duplicate(mcmc)
    if ran and driver is MCMC:
        assert torch.equal(other.get_samples()["a"], mcmc.get_samples()["a"])
        other.summary()
    assert other.kernel.step_size == mcmc.kernel.step_size
    one, two = run(mcmc.kernel).get_samples(), run(duplicate(mcmc.kernel)).get_samples()
    assert torch.equal(one["a"], two["a"])


def test_what_cannot_be_pickled_is_left_out_with_a_warning_and_can_be_set_again():
    mcmc = run(NUTS(lambda: model()), way="hook")
    with pytest.warns(PPLWarning, match="model of NUTS is left out"):
        other = pickle.loads(pickle.dumps(mcmc))
    assert torch.equal(other.get_samples()["a"], mcmc.get_samples()["a"])
    with pytest.raises(ArgumentError, match="model of NUTS.*set it again"):
        run(other.kernel)
    other.kernel.model = model
    assert torch.equal(run(other.kernel).get_samples()["a"], run(mcmc.kernel).get_samples()["a"])


@every_way
@pytest.mark.parametrize("driver", [MCMC, StreamingMCMC])
@every_kernel
def test_a_model_without_latent_sites_has_no_draws_and_one_warning(make, driver, way):
    if driver is StreamingMCMC and isinstance(way, dict):
        way = {}
    stages = []
    if way == "hook":
        way = {"hook_fn": lambda kernel, params, stage, i: stages.append((params, stage, i))}
    mcmc = driver(make(observed), 2, 1, num_chains=2, disable_progbar=True, **way)
    with pytest.warns(PPLWarning, match="nothing to sample") as seen:
        mcmc.run()
    assert len(seen) == 1
    assert (mcmc.get_samples() if driver is MCMC else mcmc.get_statistics()) == {}
    if "hook_fn" in way:
        expected = [("Warmup", 0), ("Sample", 0), ("Sample", 1)]
        assert stages == [({}, f"{s} [{c}]", i) for c in (1, 2) for s, i in expected]


@pytest.mark.parametrize("num_chains", [1, 3])
@pytest.mark.parametrize("full_mass", [False, True, [("a",)], [("b", "a")]], ids=str)
def test_the_inverse_mass_by_groups_is_what_the_next_run_takes(full_mass, num_chains):
    kernel = NUTS(model, full_mass=full_mass)
    run(kernel, num_chains=num_chains, warmup_steps=50)
    groups, flat = kernel.inverse_mass_matrix, kernel.flat_inverse_mass_matrix
    sizes = {"a": 2, "b": 1}
    for names, group in groups.items():
        number = sum(sizes[name] for name in names)
        is_dense = full_mass is True or (full_mass and names in full_mass)
        one = (number, number) if is_dense else (number,)
        assert tuple(group.shape) == (one if num_chains == 1 else (num_chains, *one))
    other = NUTS(model, full_mass=full_mass, inverse_mass_matrix=groups)
    run(other, num_chains=num_chains, warmup_steps=0)
    assert_close(other.flat_inverse_mass_matrix, flat, rtol=0, atol=0)


def gamma(params):
    """The potential of the logarithm of a Gamma(3, 2) variable, whose mean is 1.5."""
    return 2 * params["x"].exp() - 3 * params["x"]


@every_way
def test_transforms_of_the_driver_reach_a_kernel_with_a_potential(way):
    options = {"initial_params": {"x": 0.0}, "num_samples": 600, "warmup_steps": 200, "way": way}
    draws = run(NUTS(potential_fn=gamma), transforms={"x": ExpTransform().inv}, **options)
    plain = run(NUTS(potential_fn=gamma), **options)
    assert_close(draws.get_samples()["x"], plain.get_samples()["x"].exp())


def test_a_potential_of_one_element_is_a_number():
    potential = lambda p: (0.5 * p["x"] ** 2).sum(1)[None]  # noqa: E731
    mcmc = run(NUTS(potential_fn=potential), initial_params={"x": torch.zeros(1, 2)})
    assert mcmc.get_samples()["x"].shape == (4, 1, 2)


def test_an_adapter_that_is_not_configured_takes_the_sites_of_the_model():
    kernel = NUTS(model)
    with pytest.warns(PPLWarning, match="ArrowheadMassMatrix"):
        kernel.mass_matrix_adapter = ArrowheadMassMatrix(init_scale=4.0)
    run(kernel, warmup_steps=0)
    assert_close(kernel.inverse_mass_matrix["a", "b"], torch.full((3,), 0.25))


@pytest.mark.parametrize("make", [NUTS, HMC])
def test_no_step_size_is_the_default_one(make):
    assert_close(run(make(model, step_size=None)).get_samples(), run(make(model)).get_samples())


@every_way
@every_kernel
def test_a_misspelt_site_is_refused_before_the_run_with_the_nearest_one(make, way):
    def tagged():
        sample("mean", dist.Normal(0.0, 1.0))

    for options in ({"save_params": ["maen"]}, {"transforms": {"maen": ExpTransform()}}):
        with pytest.raises(MissingSiteError, match="'maen'.*'mean'"):
            run(make(tagged), way=way, **options)
    assert run(make(tagged), way=way, save_params=[]).get_samples() == {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: MCMC(model, 5), r"NUTS\(model\)"),
        (lambda: MCMC("NUTS", 5), r"NUTS\(model\)"),
        (lambda: MCMC(NUTS, 5), r"NUTS\(model\)"),
        (lambda: MCMC(NUTS(model), 5, num_warmup=5), "warmup_steps"),
        (lambda: MCMC(NUTS(model), 5, chains=5), "num_chains"),
        (lambda: MCMC(NUTS(model), 5, target_accept=0.9), "target_accept_prob.*kernel"),
        (lambda: MCMC(NUTS(model), 5, seed=1), "set_rng_seed"),
        (lambda: NUTS(model, num_sample=5), "jit_compile"),
        (lambda: NUTS(model, num_samples=5), "argument of MCMC"),
        (lambda: HMC(model, stepsize=0.1), "step_size"),
        (lambda: RandomWalkKernel(model, step_size=0.1), "init_step_size"),
        (lambda: StreamingMCMC(NUTS(model), 5, num_warmup=5), "warmup_steps"),
        (lambda: StreamingMCMC(NUTS(model), 5, statistics={}), "statistics"),
        (lambda: MCMC(NUTS(model), 5.0), "num_samples"),
        (lambda: MCMC(NUTS(model), 5, num_chains=True), "num_chains"),
        (lambda: MCMC(NUTS(model), 5, save_params="a"), "save_params"),
        (lambda: MCMC(NUTS(model), 5, initial_params=[1.0]), "initial_params"),
        (lambda: MCMC(NUTS(model), 5, hook_fn=3), "hook_fn"),
        (lambda: NUTS(model, step_size="big"), "step_size"),
        (lambda: NUTS(model, max_tree_depth=2.5), "max_tree_depth"),
        (lambda: NUTS(model, inverse_mass_matrix=2.0), "inverse_mass_matrix"),
        (lambda: NUTS(model, target_accept_prob=None), "target_accept_prob"),
        (lambda: HMC(torch.nn.Linear), "instance"),
    ],
)
def test_an_argument_of_another_kind_or_name_is_answered_with_the_right_one(wrong, message):
    with pytest.raises(ArgumentTypeError, match=message) as caught:
        wrong()
    assert isinstance(caught.value, (TypeError, ValueError))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NUTS(model, step_size=-0.1),
        lambda: NUTS(model, step_size=torch.tensor([0.1, float("nan")])),
        lambda: HMC(model, num_steps=0),
        lambda: HMC(model, trajectory_length=0.0),
        lambda: HMC(model, min_stepsize=1.0, max_stepsize=0.1),
    ],
)
def test_a_number_out_of_range_is_refused(wrong):
    with pytest.raises(ArgumentError):
        wrong()


def test_representations_show_options_and_state():
    mcmc = MCMC(NUTS(model, max_tree_depth=5), 4, 4, disable_progbar=True)
    assert "NUTS(model=model, max_tree_depth=5): no run yet" in repr(mcmc)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)
        mcmc.run()
    assert repr(mcmc).endswith("1 x 4 draws of a, b")
    assert "step size" in repr(mcmc.kernel)
    assert "init_step_size=0.5" in repr(RandomWalkKernel(model, 0.5))
    assert StreamingMCMC(mcmc.kernel, 4, num_chains=2).num_chains == 2


def test_arviz_reads_a_run(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it announces its next major version
        import arviz

    def regression(x):
        slope = sample("slope", dist.Normal(0.0, 1.0))
        with plate("rows", len(x)):
            sample("y", dist.Normal(slope * x, 1.0), obs=torch.ones(3))

    monkeypatch.setitem(sys.modules, "pyro", ppl)
    monkeypatch.setattr(ppl, "__version__", "1.9.2")  # from 1.0 on the model is read as well
    found = arviz.from_pyro(run(NUTS(regression), torch.ones(3), num_chains=2), log_likelihood=True)
    assert found.posterior["slope"].shape == (2, 4)
    assert found.sample_stats["diverging"].shape == (2, 4)
    assert found.observed_data["y"].shape == (3,)
    assert found.log_likelihood["y"].shape == (2, 4, 3)


@pytest.mark.parametrize("kernel", [NUTS, HMC])
def test_a_kernel_is_no_model(kernel):
    with pytest.raises(SiteTypeError, match="the model must be a function"):
        NUTS(kernel(lambda: None))
