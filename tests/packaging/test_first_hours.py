"""What a newcomer writes in the first hours gives right numbers, or an error that says what to do.

Each program runs on the installed wheels in a process of its own. It prints a number, or the error.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

START = """
import pickle, tempfile, warnings
from pathlib import Path
import numpy as np, torch
import ppl
import ppl.distributions as dist
from ppl.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import AutoNormal
from ppl.optim import Adam

ppl.set_rng_seed(0)
x = torch.linspace(-1.0, 1.0, 40)
y = 2.0 * x + 0.1 * torch.randn(40)
new = torch.tensor([10.0])
labels = np.array([0, 1, 1, 1] * 10)

def line(x, y=None):
    slope = ppl.sample("slope", dist.Normal(0.0, 5.0))
    with ppl.plate("rows", len(x)):
        ppl.sample("y", dist.Normal(slope * x, 0.1), obs=y)

def classes(labels):
    chance = ppl.sample("chance", dist.Beta(1.0, 1.0))
    with ppl.plate("rows", len(labels)):
        ppl.sample("label", dist.Bernoulli(chance), obs=labels)

def mean_of(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
    with ppl.plate("data", 10):
        ppl.sample("obs", dist.Normal(mean, 1.0), obs=data)

def without_plate(data):
    ppl.sample("obs", dist.Normal(ppl.sample("mean", dist.Normal(0.0, 10.0)), 1.0), obs=data)

def of_rows(x):
    with ppl.plate("rows", len(x)):
        ppl.sample("z", dist.Normal(x, 1.0))

def nuts(model, *data):
    mcmc = MCMC(NUTS(model), num_samples=400, warmup_steps=200, disable_progbar=True)
    mcmc.run(*data)
    return mcmc

def svi(model, *data, steps=1):
    guide = AutoNormal(model)
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO())
    for _ in range(steps):
        svi.step(*data)
    return guide

def attempt(function, *arguments, **options):
    try:
        print("accepted", function(*arguments, **options))
    except Exception as error:
        print(type(error).__name__, error)

def warned(function, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*arguments)
    print(*(warning.message for warning in caught))
    return result
"""
SAVED = """
folder = Path(tempfile.mkdtemp())
guide = svi(line, x, y, steps=400)
"""
# the program, and what its error, warning or picture of an object says
SAYS = {
    "a column in a plate of ten, NUTS": (
        "attempt(nuts, mean_of, torch.zeros(10, 1))",
        r"ShapeError.*'obs'.*\(10, 10\).*to_event",
    ),
    "a column in a plate of ten, SVI": (
        "attempt(svi, mean_of, torch.zeros(10, 1))",
        r"ShapeError.*'obs'.*\(10, 10\).*to_event",
    ),
    "a plate forgotten, SVI": (
        "attempt(svi, without_plate, torch.zeros(10))",
        "ShapeError.*'obs'.*open a plate",
    ),
    "a hole in the data": (
        "y[7] = torch.nan; attempt(nuts, line, x, y)",
        r"SupportError.*'y'.*1 of 40.*\[7\].*obs_mask.*NanMaskedNormal",
    ),
    "arguments in another order": (
        "attempt(SVI, line, Adam({'lr': 0.1}), AutoNormal(line), Trace_ELBO())",
        r"guide must be a function.*SVI\(model, guide, optim, loss\)",
    ),
    "the class of a guide": (
        "attempt(SVI, line, AutoNormal, Adam({'lr': 0.1}), Trace_ELBO())",
        r"AutoNormal\(model\)",
    ),
    "a model in place of a kernel": ("attempt(MCMC, line, num_samples=9)", r"pass NUTS\(line\)"),
    "the name of a kernel": ("attempt(MCMC, 'NUTS', num_samples=9)", r"pass a kernel.*NUTS\(model"),
    "a keyword of a peer": ("attempt(NUTS, line, target_accept=0.9)", "mean 'target_accept_prob'"),
    "a number of a peer": (
        "attempt(MCMC, NUTS(line), num_samples=9, num_warmup=9)",
        "mean 'warmup_steps'",
    ),
    "a keyword for the optimizer": ("attempt(Adam, 0.01)", "OptimError.*must be a dict"),
    "a plate of a negative size": ("attempt(ppl.plate, 'd', -1)", "PlateError.*'d'.*got -1"),
    "a plate of a broken size": ("attempt(ppl.plate, 'd', 10.5)", "PlateError.*'d'.*got 10.5"),
    "fewer rows than the guide has": (
        "guide = svi(of_rows, x); attempt(guide, x[:3])",
        "ShapeError.*40 elements of plate 'rows'",
    ),
    "data that come back as predictions": (
        "draws = {'slope': torch.ones(9)}; warned(Predictive(line, draws), x, y)",
        "'y'.*observed",
    ),
    "a negative scale, by the check": (
        """def model():
    s = ppl.sample("s", dist.Normal(1.0, 1.0))
    ppl.sample("x", dist.Normal(0.0, s), obs=torch.tensor(1.0))
print(ppl.check(model))""",
        "PPL305.*parameter scale.*softplus",
    ),
    "a branch on a draw, by the check": (
        """def model():
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    if m > 0:
        ppl.sample("x", dist.Normal(m, 1.0))
print(ppl.check(model))""",
        "PPL103.*'x'",
    ),
    "objects on the screen": (
        "print(nuts(line, x, y), NUTS(line), svi(line, x, y), ppl.get_param_store())",
        r"^(?!.*object at 0x).*MCMC\(.*NUTS\(.*AutoNormal\(line.*ParamStore",
    ),
    "a part that may be absent": ("print(hasattr(ppl, 'render_model'))", "True|False"),
}
# the program, the number, and by how much the noise of 400 draws may move it (4 standard errors)
GIVES = {
    "labels that are whole numbers": (  # Beta(31, 11)
        "print(nuts(classes, labels).get_samples()['chance'].mean().item())",
        (31 / 42, 0.03),
    ),
    "labels that are true or false": (
        "print(nuts(classes, labels > 0).get_samples()['chance'].mean().item())",
        (31 / 42, 0.03),
    ),
    "a plate forgotten, NUTS": (  # whose density is the sum anyway
        "print(nuts(without_plate, torch.zeros(10)).get_samples()['mean'].std().item())",
        (10.01**-0.5, 0.1),
    ),
    "the class of a loss": (
        "SVI(line, AutoNormal(line), Adam({'lr': 0.1}), Trace_ELBO).step(x, y); print(1.0)",
        (1.0, 0.0),
    ),
    "the store, loaded into a new guide": (
        SAVED
        + """
ppl.get_param_store().save(folder / "params")
ppl.clear_param_store()
ppl.get_param_store().load(folder / "params")
print(Predictive(line, guide=AutoNormal(line), num_samples=200)(new)["y"].mean().item())
""",
        (20.0, 1.0),
    ),
    "the state of a guide, loaded into a new one": (
        SAVED
        + """
state = guide.state_dict()
ppl.clear_param_store()
again = AutoNormal(line)
again.load_state_dict(state)
print(Predictive(line, guide=again, num_samples=200)(new)["y"].mean().item())
""",
        (20.0, 1.0),
    ),
    "a pickled run": (
        "again = pickle.loads(pickle.dumps(nuts(line, x, y)))\n"
        "print(Predictive(line, again.get_samples())(new)['y'].mean().item())",
        (20.0, 1.0),
    ),
    "a covariate from a table": (
        "draws = nuts(line, torch.tensor(x.numpy()), y.numpy()).get_samples()\n"
        "print(draws['slope'].mean().item())",
        (2.0, 0.15),
    ),
    "the threads after a run": (
        "torch.set_num_threads(2); nuts(line, x, y); print(torch.get_num_threads())",
        (2, 0),
    ),
    "the same seed again": (
        """runs = []
for _ in range(2):
    ppl.set_rng_seed(1)
    runs.append(nuts(line, x, y).get_samples()["slope"])
print((runs[0] - runs[1]).abs().max().item())""",
        (0.0, 0.0),
    ),
}


@pytest.fixture(scope="module")
def installed(fresh: Callable):
    """Return an environment with everything."""
    return fresh("ppl-all")


@pytest.mark.parametrize("name", SAYS)
def test_an_object_an_error_or_a_warning_says_what_is_the_matter(installed, name: str) -> None:
    program, pattern = SAYS[name]
    said = installed.run(START + program)
    assert not said.startswith("accepted")
    assert re.search(pattern, said, re.DOTALL), said


@pytest.mark.parametrize("name", GIVES)
def test_a_program_gives_the_right_number(installed, name: str) -> None:
    program, (number, noise) = GIVES[name]
    assert float(installed.run(START + program)) == pytest.approx(number, abs=noise)
