"""A check: what it returns, what it leaves alone, and that nothing makes it raise."""

import random
import threading

import numpy as np
import pytest
import torch
from torch.distributions import constraints

import ppl.poutine as poutine
from ppl.checker import CODES, Check, Finding, Needs, Report, check
from ppl.checker.codes import markdown_table
from ppl.checker.needs import needs_of
from ppl.errors import PPLError, SiteError
from ppl.nn import PyroModule, PyroSample
from ppl.primitives import factor, get_param_store, param, plate, sample

from ..distribution.families import Bernoulli, Gamma, Normal


def normal_model(y=torch.tensor(0.3)):
    z = sample("z", Normal(0.0, 1.0))
    sample("y", Normal(z, 1.0), obs=y)


def normal_guide(y=None):
    sample("z", Normal(param("loc", torch.tensor(0.0)), 1.0))


def two_mistakes():
    sample("a", Gamma(1.0, 1.0), obs=torch.tensor(-1.0))
    sample("b", Normal(torch.zeros(2), 1.0))


def codes(report):
    return {(finding.code, finding.site) for finding in report}


# reports


def test_a_good_pair_has_an_empty_report():
    report = check(normal_model, normal_guide)
    assert report.ok
    assert (report, list(report)) == ((), [])
    assert (
        str(report)
        == repr(report)
        == (
            "Nothing was found in 6 runs of model and guide (seeds 0 to 2, as drawn and reflected "
            "about the means)."
        )
    )


def test_a_report_is_a_sequence_of_findings_that_prints_code_line_site_and_cure():
    report = check(two_mistakes)
    assert isinstance(report, Report)
    assert not report.ok
    assert [finding.code for finding in report] == ["PPL301", "PPL202"]
    first = two_mistakes.__code__.co_firstlineno
    assert str(report[1]) == (
        f"PPL202 ({__file__}:{first + 2}) 'b': a distribution has a batch dimension that no plate "
        "declares; its log_prob has shape (2,), its plates are none\n"
        "    declare event dimensions with .to_event(n), or open a plate for the batch dimension"
    )
    assert str(report) == f"{report[0]}\n{report[1]}"


def test_a_finding_cannot_be_changed():
    [finding] = check(normal_model, lambda y=None: None)
    assert isinstance(finding, Finding)
    with pytest.raises(AttributeError):
        finding.code = "PPL000"


def test_a_finding_is_reported_once_however_many_runs_have_it():
    assert len(Check(num_runs=7)(two_mistakes)) == 2


def test_codes_are_sorted_and_have_a_title_and_a_cure_for_the_documentation():
    assert sorted(CODES) == list(CODES)
    assert all(code.title and code.fix for code in CODES.values())
    assert len(markdown_table().splitlines()) == len(CODES) + 2


# arguments


def test_the_arguments_after_the_guide_are_those_of_the_model():
    def model(guide, *, model, num_runs):
        assert (guide, model, num_runs) == (1, 2, 3)
        sample("z", Normal(0.0, 1.0))

    assert check(model, None, 1, model=2, num_runs=3).ok


@pytest.mark.parametrize("programs", [(None,), (normal_model, 3)])
def test_what_is_no_program_is_refused(programs):
    with pytest.raises(SiteError, match="must be a function that makes sample statements"):
        check(*programs)


# what an algorithm needs


def mixture():
    sample("y", Normal(sample("k", Bernoulli(0.5)), 1.0), obs=torch.tensor(0.3))


class Estimator:
    needs = Needs(reparametrized=True)


class TraceMeanField_ELBO:  # known by its name
    pass


@pytest.mark.parametrize(
    "algorithm",
    [Estimator, Estimator(), TraceMeanField_ELBO, TraceMeanField_ELBO(), "TraceMeanField_ELBO"],
)
def test_an_algorithm_is_known_by_its_needs_or_by_its_name(algorithm):
    report = check.for_(algorithm)(mixture, lambda: sample("k", Bernoulli(param("p", 0.5))))
    assert codes(report) == {("PPL601", "k")}


def test_without_a_word_score_functions_are_fine():
    assert check(mixture, lambda: sample("k", Bernoulli(param("p", 0.5)))).ok


@pytest.mark.parametrize("name", ["Trace_ELBO", "JitTrace_ELBO", "trace_elbo", "SVI"])
def test_names_may_be_those_of_the_classes_or_lower_case(name):
    assert needs_of(name) == Needs()


def test_an_unknown_algorithm_is_answered_with_those_known():
    with pytest.raises(SiteError, match="'NUTTS'.*'nuts'"):
        check.for_("NUTTS")


def test_the_cure_for_a_discrete_site_depends_on_whether_it_can_be_enumerated():
    [finding] = check.for_("NUTS")(mixture)
    assert finding.code == "PPL602"
    assert "infer={'enumerate': 'parallel'}" in finding.fix


# side effects


def test_generators_parameters_and_warnings_are_left_alone(recwarn):
    loc = param("loc", torch.tensor(2.0))
    leaf = loc.unconstrained()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    check(normal_model, normal_guide)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]
    assert list(get_param_store()) == ["loc"]
    assert param("loc").unconstrained() is leaf
    assert leaf.grad is None
    assert not recwarn.list


def test_parameters_have_the_values_of_the_store():
    param("scale", torch.tensor(1.0))
    get_param_store()["scale"] = torch.tensor(-1.0)
    report = check(lambda: sample("x", Normal(0.0, param("scale", torch.tensor(1.0)))))
    assert codes(report) == {("PPL305", None)}


class Counting(PyroModule):
    """Counts its calls in a buffer, as running statistics do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.loc = torch.nn.Parameter(torch.zeros(()))
        self.z = PyroSample(Normal(0.0, 1.0))

    def forward(self):
        self.calls += 1
        sample("y", Normal(self.loc + self.z, 1.0), obs=torch.tensor(0.3))


def test_modules_are_checked_on_copies():
    model = Counting()
    assert check(model).ok
    assert model.calls == 0
    assert model.loc.grad is None
    assert not list(get_param_store())


class NotToBeCopied:
    def __deepcopy__(self, memo):
        raise TypeError("there is only one of me")

    def __call__(self):
        normal_model()


def test_what_cannot_be_copied_is_checked_itself():
    assert check(NotToBeCopied(), normal_guide).ok


def test_handlers_around_a_check_apply_to_the_programs():
    with poutine.condition(data={"z": torch.tensor(0.3)}):
        assert check(normal_model).ok
        assert codes(check(normal_model, normal_guide)) == {("PPL404", "z")}


def test_a_check_is_deterministic():
    assert str(check(two_mistakes)) == str(check(two_mistakes))


def test_two_threads_check_at_once():
    reports = [None, None]

    def run(i):
        reports[i] = check((two_mistakes, normal_model)[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(report) for report in reports] == [2, 0]


# whatever happens


class NotDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ZeroDivisionError("on purpose")


def raises_in_backward():
    x = sample("x", Normal(0.0, 1.0))
    factor("f", NotDifferentiable.apply(x))


def raises_the_second_time():
    RUNS.append(1)
    if len(RUNS) % 3 == 2:
        raise KeyError("on purpose")
    sample("x", Normal(0.0, 1.0))


RUNS = []


def raises_our_own_error():
    raise PPLError("on purpose")


def raises_nothing_that_says_anything():
    raise OSError


@pytest.mark.parametrize(
    "model",
    [
        raises_in_backward,
        raises_the_second_time,
        raises_our_own_error,
        raises_nothing_that_says_anything,
        poutine.escape(normal_model, escape_fn=lambda msg: msg["name"] == "z"),
    ],
)
def test_an_exception_of_any_kind_is_a_finding(model):
    RUNS.clear()
    assert codes(check(model)) == {("PPL001", None)}


@pytest.mark.parametrize(
    "guide", [raises_our_own_error, lambda: sample("z", Normal(torch.tensor(torch.nan), 1.0))]
)
def test_an_exception_of_the_guide_is_a_finding_beside_those_of_the_model(guide):
    def model():
        with plate("data", 3):
            sample("z", Normal(0.0, 1.0))
            sample("y", Gamma(1.0, 1.0), obs=torch.tensor([1.0, -1.0, 1.0]))

    assert len(check(model, guide)) == 2


def test_a_constraint_of_a_parameter_is_no_business_of_its_leaf():
    def model():
        sample("y", Normal(0.0, param("s", 1.0, constraints.positive)), obs=torch.tensor(0.1))

    assert check(model).ok
