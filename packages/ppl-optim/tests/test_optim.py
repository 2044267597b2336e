"""Laws of PyroOptim, for every optimizer that torch has and our own two."""

import gc
import pickle
import weakref

import pytest
import scipy.fft
import torch
from torch.testing import assert_close

import ppl.optim
from ppl import plugins
from ppl.errors import FileFormatError, MissingSiteError, PPLError
from ppl.optim import (
    OptimError,
    PyroOptim,
    adagrad_rmsprop,
    clipped_adam,
    dct_adam,
    pytorch_optimizers,
)
from ppl.primitives import get_param_store, module, param

from .training import START, by_hand, differentiate, free_leaves, leaves, train

TORCH = {
    name: getattr(torch.optim, name)
    for name, constructor in vars(torch.optim).items()
    if isinstance(constructor, type) and issubclass(constructor, torch.optim.Optimizer)
    if constructor not in (torch.optim.Optimizer, torch.optim.LBFGS)
}
OURS = {
    "AdagradRMSProp": adagrad_rmsprop.AdagradRMSProp,
    "ClippedAdam": clipped_adam.ClippedAdam,
    "DCTAdam": dct_adam.DCTAdam,
}
CONSTRUCTORS = {**TORCH, **OURS}
OPTIONS = {
    "AdagradRMSProp": {"eta": 0.1, "delta": 0.01, "t": 0.3},
    "ClippedAdam": {"lr": 0.1, "clip_norm": 1.5, "lrd": 0.9, "weight_decay": 0.1},
    "DCTAdam": {"lr": 0.1, "clip_norm": 1.5, "lrd": 0.9, "dim": -1},
    "SGD": {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    "Adam": {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1},
    "RMSprop": {"lr": 0.01, "momentum": 0.5, "centered": True},
}


def options(name):
    return OPTIONS.get(name, {"lr": 0.01})


def run(name, optim, params, num_steps=5):
    train(optim, params, num_steps, sparse=name == "SparseAdam")


RTOL = {"ASGD": 1e-7}  # torch keeps its step size in float32, rounded differently by each kernel


every_optimizer = pytest.mark.parametrize("name", CONSTRUCTORS)


def test_every_optimizer_of_torch_has_a_function():
    assert set(TORCH) <= set(dir(ppl.optim))


@every_optimizer
def test_a_step_equals_the_torch_optimizer_run_by_hand(name):
    ours, theirs = leaves(), free_leaves()
    run(name, getattr(ppl.optim, name)(options(name)), ours.values())
    run(name, by_hand(CONSTRUCTORS[name], theirs.values(), **options(name)), theirs.values())
    for key in START:
        assert_close(ours[key].detach(), theirs[key].detach(), rtol=RTOL.get(name, 1e-12), atol=0)


@every_optimizer
def test_one_step_for_all_parameters_equals_an_optimizer_for_each(name):
    together, apart = leaves(), free_leaves()
    run(name, getattr(ppl.optim, name)(options(name)), together.values())
    for value in apart.values():
        run(name, by_hand(CONSTRUCTORS[name], [value], **options(name)), [value])
    for key in START:
        assert_close(
            together[key].detach(), apart[key].detach(), rtol=RTOL.get(name, 1e-12), atol=0
        )


@every_optimizer
def test_a_late_parameter_starts_afresh(name):
    ours, theirs = leaves(), free_leaves()
    optim = getattr(ppl.optim, name)(options(name))
    run(name, optim, [ours["a"]], num_steps=3)
    run(name, optim, ours.values(), num_steps=2)
    for key, num_steps in (("a", 5), ("b", 2)):
        hand = by_hand(CONSTRUCTORS[name], [theirs[key]], **options(name))
        run(name, hand, [theirs[key]], num_steps)
        assert_close(ours[key].detach(), theirs[key].detach(), rtol=RTOL.get(name, 1e-12), atol=0)


@every_optimizer
def test_a_parameter_that_is_not_passed_stays_as_it_is(name):
    ours = leaves()
    optim = getattr(ppl.optim, name)(options(name))
    run(name, optim, ours.values())
    before, gradient = ours["b"].detach().clone(), ours["b"].grad
    run(name, optim, [ours["a"]])
    assert torch.equal(ours["b"], before)
    assert ours["b"].grad is gradient


@every_optimizer
def test_a_saved_optimizer_resumes_the_identical_trajectory(name, tmp_path):
    ours = leaves()
    optim = getattr(ppl.optim, name)(options(name))
    run(name, optim, ours.values(), num_steps=3)
    optim.save(tmp_path / "optimizer")
    get_param_store().save(tmp_path / "params")
    run(name, optim, ours.values(), num_steps=3)
    expected = {key: value.detach().clone() for key, value in ours.items()}

    get_param_store().load(tmp_path / "params")
    resumed = leaves()
    restored = getattr(ppl.optim, name)(options(name))
    restored.load(tmp_path / "optimizer")
    run(name, restored, resumed.values(), num_steps=3)
    for key in START:
        assert torch.equal(resumed[key], expected[key])


@every_optimizer
def test_a_state_is_a_copy_that_comes_back_unchanged(name):
    ours = leaves()
    optim = getattr(ppl.optim, name)(options(name))
    run(name, optim, ours.values(), num_steps=2)
    state = optim.get_state()
    frozen = pickle.dumps(state)
    run(name, optim, ours.values(), num_steps=2)
    optim.set_state(state)
    assert set(optim.get_state()) == set(START)
    run(name, optim, ours.values(), num_steps=2)
    assert_close(pickle.loads(frozen), state)


def test_parameters_with_equal_options_share_one_torch_optimizer():
    made = []

    class Counting(torch.optim.Adam):
        def step(self, closure=None):
            made.append(len(self.param_groups[0]["params"]))
            return super().step(closure)

    ours = leaves({name: torch.ones(1, 1) for name in "abcdef"})
    train(PyroOptim(Counting, lambda name: {"lr": 0.1 if name < "d" else 0.2}), ours.values(), 1)
    assert sorted(made) == [3, 3]


@pytest.mark.parametrize(
    "name, given, expected",
    [
        ("Adam", {}, {"fused": True}),
        ("RMSprop", {}, {"foreach": True}),
        ("SGD", {"momentum": 0.9}, {"foreach": True}),
        ("Adam", {"foreach": True}, {"foreach": True, "fused": None}),
        ("Adam", {"fused": False}, {"fused": False}),
    ],
)
def test_the_fastest_kernel_is_taken_unless_the_user_has_chosen(name, given, expected):
    ours, optim = leaves(), getattr(ppl.optim, name)({"lr": 0.1, **given})
    train(optim, ours.values(), 1)
    (group,) = optim.get_state()["a"]["param_groups"]
    assert {key: group[key] for key in expected} == expected


def test_options_may_be_a_function_of_the_name():
    ours = leaves()
    train(ppl.optim.SGD(lambda name: {"lr": {"a": 0.1, "b": 0.0}[name]}), ours.values(), 1)
    theirs = free_leaves()
    train(by_hand(torch.optim.SGD, [theirs["a"]], lr=0.1), [theirs["a"]], 1)
    assert_close(ours["a"].detach(), theirs["a"].detach())
    assert torch.equal(ours["b"], theirs["b"])


@pytest.mark.parametrize(
    "takes, expected",
    [
        (lambda seen: lambda name: seen.append(name), {"w", "net.weight"}),
        (lambda seen: lambda *names: seen.append(names), {("w",), ("net.weight",)}),
        (
            lambda seen: lambda module_name, param_name: seen.append((module_name, param_name)),
            {("w", "w"), ("net", "weight")},
        ),
    ],
)
@pytest.mark.parametrize("kind", ["optim_args", "clip_args"])
def test_a_function_of_options_sees_user_facing_names_once(takes, expected, kind):
    seen = []
    module("net", torch.nn.Linear(1, 1, bias=False))
    param("w", torch.ones(1))
    tensors = [leaf for _, leaf in get_param_store().named_parameters()]
    record = takes(seen)

    def one(name):
        record(name)
        return {"lr": 0.1} if kind == "optim_args" else {}

    def two(module_name, param_name):
        record(module_name, param_name)
        return {"lr": 0.1} if kind == "optim_args" else {}

    function = two if ("w", "w") in expected else one
    optim_args, clip_args = (function, None) if kind == "optim_args" else ({"lr": 0.1}, function)
    train(ppl.optim.SGD(optim_args, clip_args), tensors, 2)
    assert len(seen) == 2
    assert set(seen) == expected


@pytest.mark.parametrize(
    "clip_args, clip",
    [
        ({"clip_norm": 0.5}, lambda g: g * (0.5 / g.norm()).clamp(max=1)),
        ({"clip_value": 0.3}, lambda g: g.clamp(-0.3, 0.3)),
        (lambda name: {"clip_norm": 0.5}, lambda g: g * (0.5 / g.norm()).clamp(max=1)),
        ({}, lambda g: g),
        (None, lambda g: g),
    ],
)
def test_each_gradient_is_clipped_by_itself(clip_args, clip):
    ours = leaves()
    differentiate(ours.values())
    expected = {key: (leaf - clip(leaf.grad)).detach() for key, leaf in ours.items()}
    ppl.optim.SGD({"lr": 1.0}, clip_args)(ours.values())
    for key in START:  # torch adds 1e-6 to the norm
        assert_close(ours[key].detach(), expected[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("restored", [False, True])
def test_a_replaced_tensor_is_optimized_and_the_old_one_forgotten(restored):
    ours, options = leaves(), {"lr": 0.1, "momentum": 0.9}
    optim = ppl.optim.SGD(options)
    train(optim, ours.values())
    velocity = optim.get_state()["a"]["state"][0]["momentum_buffer"].clone()
    old = weakref.ref(ours.pop("a"))
    get_param_store()["a"] = START["a"].double()
    if restored:
        optim.set_state(optim.get_state())
    new = param("a").unconstrained()
    differentiate([new])
    gradient = new.grad.clone()
    optim([new])
    step = gradient + 0.9 * velocity if restored else gradient
    assert_close(new.detach(), START["a"].double() - 0.1 * step)
    gc.collect()
    assert old() is None


def test_a_tensor_outside_the_store_is_optimized_but_has_no_state_to_save():
    loose = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optim = ppl.optim.SGD({"lr": 0.1})
    train(optim, [loose], 1)
    assert bool((loose < 1).all())
    with pytest.raises(MissingSiteError, match="1 optimized parameter"):
        optim.get_state()
    with pytest.raises(OptimError, match="parameter store"):
        ppl.optim.SGD(lambda name: {"lr": 0.1})([loose])


def test_a_closure_reaches_the_torch_optimizer():
    ours = leaves()
    differentiate(ours.values())
    calls = []
    ppl.optim.SGD({"lr": 0.1})(ours.values(), lambda: calls.append(0))
    assert calls == [0]


def test_sparse_gradients_of_sgd_are_accepted():
    ours = leaves()
    train(ppl.optim.SGD({"lr": 0.1}), ours.values(), sparse=True)
    theirs = free_leaves()
    train(by_hand(torch.optim.SGD, theirs.values(), lr=0.1), theirs.values())
    for key in START:
        assert_close(ours[key].detach(), theirs[key].detach())


def test_a_learning_rate_may_be_a_tensor():
    ours, theirs = leaves(), free_leaves()
    train(ppl.optim.Adam({"lr": torch.tensor(0.1)}), ours.values())
    train(by_hand(torch.optim.Adam, theirs.values(), lr=0.1), theirs.values())
    for key in START:
        assert_close(ours[key].detach(), theirs[key].detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: ppl.optim.Adam("fast"), "optim_args.*'fast'"),
        (lambda: ppl.optim.Adam({"lr": 0.1}, {"clip": 1.0}), "clip_norm.*clip"),
        (lambda: ppl.optim.Adam({"lr": 0.1}, 5), "clip_args"),
        (lambda: ppl.optim.Adam(lambda name: 0.1)(leaves().values()), "'a'"),
    ],
)
def test_options_that_make_no_sense_are_refused(call, match):
    with pytest.raises(OptimError, match=match) as error:
        call()
    assert isinstance(error.value, PPLError) and isinstance(error.value, ValueError)


def test_a_state_of_another_optimizer_is_refused_by_name():
    optim = ppl.optim.Adam({"lr": 0.1})
    optim.set_state({"a": {"wrong": 1}})
    with pytest.raises(OptimError, match=r"'a'.*Adam"):
        train(optim, leaves().values(), 1)


class _Malicious:
    def __reduce__(self):
        return (pytest.fail, ("the file executed code",))


@pytest.mark.parametrize(
    "contents",
    [
        {"format": "ppl-optim", "version": 1, "state": {"a": _Malicious()}},
        _Malicious(),
        {"state": {}},
        {"format": "ppl-optim", "version": 99, "state": {}},
        [1, 2],
    ],
)
def test_a_foreign_or_malicious_file_is_refused_and_changes_nothing(contents, tmp_path):
    ours, optim = leaves(), ppl.optim.Adam({"lr": 0.1})
    train(optim, ours.values())
    before = optim.get_state()
    torch.save(contents, tmp_path / "file")
    with pytest.raises(FileFormatError):
        optim.load(tmp_path / "file")
    assert_close(optim.get_state(), before)


def test_a_save_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    ours, optim = leaves(), ppl.optim.Adam({"lr": 0.1})
    train(optim, ours.values())
    optim.save(tmp_path / "file")
    before = (tmp_path / "file").read_bytes()

    def fail(contents, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        optim.save(tmp_path / "file")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_our_optimizers_are_registered_as_plugins():
    functions = {
        name
        for name, value in vars(pytorch_optimizers).items()
        if getattr(value, "__module__", "") == pytorch_optimizers.__name__
        and name[0].isupper()
        and name != "Factory"
    }
    assert functions | set(OURS) == set(plugins.names("ppl.optimizers"))
    for name in functions | set(OURS):
        assert plugins.load("ppl.optimizers", name) is getattr(ppl.optim, name)


def test_an_optimizer_of_a_third_party_is_found_by_name(monkeypatch):
    entry = plugins.metadata.EntryPoint("Lion", "ppl.optim:SGD", "ppl.optimizers")
    monkeypatch.setattr(plugins, "entries", lambda group: {"Lion": (entry,)})
    assert ppl.optim.Lion is ppl.optim.SGD
    assert "Lion" in dir(ppl.optim)


def test_an_unknown_optimizer_gets_the_nearest_names():
    with pytest.raises(AttributeError, match="did you mean .*'AdamW'"):
        _ = ppl.optim.AdmW
    assert not hasattr(ppl.optim, "_private")


def test_clipped_adam_clips_each_entry_and_decays_the_rate_of_each_step():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = clipped_adam.ClippedAdam([x], lr=0.1, clip_norm=2.0, lrd=0.5, weight_decay=0.1)
    seen = []
    for k in range(1, 5):
        x.grad = torch.tensor([1.0, -30.0], dtype=torch.float64) * k
        optimizer.step()
        seen.append(x.tolist())
    # made once with the ClippedAdam of another library
    expected = [
        [0.9500000143739853, 2.049999991215897],
        [0.9257429274598977, 2.0749981512933027],
        [0.9134300564887327, 2.0874963293065787],
        [0.9072199991304182, 2.0937450339370955],
    ]
    assert_close(torch.tensor(seen), torch.tensor(expected), rtol=1e-12, atol=0)


def test_clipped_adam_may_scale_by_the_spread_around_the_mean_gradient():
    x = torch.zeros(3, requires_grad=True)
    optimizer = clipped_adam.ClippedAdam(
        [x], lr=0.1, clip_norm=0.5, weight_decay=0.1, betas=(0.8, 0.9), centered_variance=True
    )
    for shift in range(3):
        x.grad = torch.arange(3.0) - 1 + shift
        optimizer.step()
    # made once with the ClippedAdam of another library
    torch.testing.assert_close(x, torch.tensor([0.1776, -0.2180, -0.4168]), atol=5e-5, rtol=0)


def test_adagrad_rmsprop_follows_its_equations():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = adagrad_rmsprop.AdagradRMSProp([x], eta=0.5, delta=0.2, t=0.3)
    expected, memory = x.detach().clone(), None
    for k in range(1, 5):
        gradient = torch.tensor([1.0, -30.0], dtype=torch.float64) * k
        x.grad = gradient
        optimizer.step()
        square = gradient**2
        memory = square if memory is None else 0.3 * square + 0.7 * memory
        expected = expected - 0.5 * k ** (-0.5 + 0.2) * gradient / (1 + memory.sqrt())
        assert_close(x.detach(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("constructor", OURS.values())
def test_our_optimizers_evaluate_a_closure_with_gradients(constructor):
    x = torch.tensor([1.0], requires_grad=True)

    def closure():
        x.grad = None
        value = (x**2).sum()
        value.backward()
        return value.item()

    assert constructor([x]).step(closure) == 1.0
    assert x < 1


def test_adagrad_rmsprop_shares_its_memory():
    x = torch.ones(2, requires_grad=True)
    x.grad = torch.ones(2)
    optimizer = adagrad_rmsprop.AdagradRMSProp([x])
    optimizer.step()
    optimizer.share_memory()
    assert optimizer.state[x]["sum"].is_shared()


class TestOptimizersByParameter:
    """Law: what a program reads or changes of one parameter is that parameter's alone."""

    def test_a_rate_is_changed_once_for_each(self):
        ours, theirs = leaves(), free_leaves()
        optim = ppl.optim.Adam({"lr": 0.1})
        train(optim, ours.values(), 2)
        for leaf in optim.optim_objs:
            for group in optim.optim_objs[leaf].param_groups:
                group["lr"] *= 0.5
        train(optim, ours.values(), 2)
        hand = torch.optim.Adam(theirs.values(), lr=0.1)
        train(lambda _: hand.step(), theirs.values(), 2)
        hand.param_groups[0]["lr"] = 0.05
        train(lambda _: hand.step(), theirs.values(), 2)
        for key in START:
            assert_close(ours[key].detach(), theirs[key].detach())

    def test_one_can_be_replaced_or_start_afresh(self):
        ours = leaves()
        optim = ppl.optim.SGD({"lr": 0.1, "momentum": 0.9})
        train(optim, ours.values(), 1)
        optim.optim_objs[ours["a"]] = torch.optim.SGD([ours["a"]], lr=0.0)
        before = ours["a"].detach().clone()
        train(optim, ours.values(), 1)
        assert torch.equal(ours["a"], before)
        optim.optim_objs = {}
        assert len(optim.optim_objs) == 0
        train(optim, ours.values(), 1)
        assert set(optim.optim_objs) == set(ours.values())
        assert not torch.equal(ours["a"], before)

    def test_constructor_and_options_are_those_given_and_may_be_set(self):
        optim = ppl.optim.Adam({"lr": 0.1})
        assert optim.pt_optim_constructor is torch.optim.Adam
        assert optim.pt_optim_args == {"lr": 0.1}
        optim.pt_optim_args = {"lr": 0.2}
        train(optim, leaves().values(), 1)
        assert {o.param_groups[0]["lr"] for o in optim.optim_objs.values()} == {0.2}


def test_those_that_are_not_stepped_keep_a_rate_that_decays():
    ours = leaves()
    optim = ppl.optim.ClippedAdam({"lr": 1.0, "lrd": 0.5})
    train(optim, ours.values(), 1)
    train(optim, [ours["a"]], 2)
    rates = {name: optim.optim_objs[leaf].param_groups[0]["lr"] for name, leaf in ours.items()}
    assert rates == {"a": 0.125, "b": 0.5}


@every_optimizer
def test_a_copy_continues_as_the_original_does(name):
    ours = leaves()
    optim = getattr(ppl.optim, name)(options(name))
    run(name, optim, ours.values(), num_steps=2)
    params, twin = get_param_store().get_state(), pickle.loads(pickle.dumps(optim))
    run(name, optim, ours.values(), num_steps=2)
    get_param_store().set_state(params)
    again = leaves()
    run(name, twin, again.values(), num_steps=2)
    for key in START:
        assert torch.equal(again[key], ours[key])


@every_optimizer
def test_options_may_be_keywords_and_unknown_ones_are_refused(name):
    optim = getattr(ppl.optim, name)(**options(name))
    assert repr(optim) == f"{name}({options(name)!r})"
    run(name, optim, leaves().values(), num_steps=1)
    with pytest.raises(TypeError, match=f"{name} has no option 'beta'"):
        getattr(ppl.optim, name)({"beta": 1})


def test_an_unknown_option_gets_the_nearest():
    with pytest.raises(OptimError, match="'weight_deca'; did you mean 'weight_decay'"):
        ppl.optim.Adam(weight_deca=0.1)
    with pytest.raises(OptimError, match="'gama'; did you mean 'gamma'"):
        ppl.optim.ExponentialLR(optimizer=torch.optim.SGD, optim_args={"lr": 1.0}, gama=0.1)


def test_a_schedule_may_be_given_by_keywords():
    given = ppl.optim.ExponentialLR(optimizer=torch.optim.SGD, optim_args={"lr": 1.0}, gamma=0.1)
    train(given, leaves().values(), 1)
    assert given.pt_optim_args == {"lr": 1.0}
    given.step()
    assert {s.optimizer.param_groups[0]["lr"] for s in given.optim_objs.values()} == {0.1}


@pytest.mark.parametrize("constructor", OURS.values())
def test_torch_schedulers_drive_our_optimizers(constructor):
    x = torch.ones(1, requires_grad=True)
    optimizer = constructor([x])
    rate = optimizer.param_groups[0]["lr"]
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.0)
    x.grad = torch.ones(1)
    optimizer.step()
    schedule.step()
    before = x.detach().clone()
    optimizer.step()
    assert rate > 0
    assert torch.equal(x, before)


def test_the_rate_of_the_last_step_is_in_the_group():
    x = torch.zeros(1, requires_grad=True)
    optimizer = clipped_adam.ClippedAdam([x], lr=1.0, lrd=0.5)
    for _ in range(3):
        x.grad = torch.ones(1)
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_dct_adam_is_adam_in_the_coordinates_of_the_cosine_transform():
    dct = torch.from_numpy(scipy.fft.dct(torch.eye(6).double().numpy(), norm="ortho", axis=0))
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    y = (x.detach() @ dct.T).requires_grad_()
    ours = dct_adam.DCTAdam([x], lr=0.1, dim=-1)
    theirs = clipped_adam.ClippedAdam([y], lr=0.1)
    weights = torch.linspace(0.1, 2.0, 6).double()
    for _ in range(5):
        x.grad = (weights * x).detach()
        y.grad = (weights * (y @ dct)).detach() @ dct.T
        ours.step()
        theirs.step()
    assert_close(x.detach(), (y @ dct).detach())


@pytest.mark.parametrize("dim", [None, -1])
def test_dct_adam_leaves_out_what_a_subsample_does_not_have(dim):
    x = torch.ones(4, requires_grad=True)
    optimizer = dct_adam.DCTAdam([x], lr=0.1, subsample_aware=True, dim=dim)
    x.grad = torch.tensor([1.0, 0.0, -1.0, 0.0])
    optimizer.step()
    assert x[1] == x[3] == 1.0
    assert x[0] != 1.0
