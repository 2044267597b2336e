"""A third party's wheel is found by name, used end to end, and harms nobody when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ppl.engine.cpp_library import find_compiler

ROOT = Path(__file__).resolve().parent.parent.parent

LOAD = """
import ppl.plugins as plugins
for group, name in [
    ("ppl.distributions", "Gompertz"), ("ppl.elbos", "TemperedELBO"), ("ppl.kernels", "RandomWalk")
]:
    print(plugins.load(group, name).__module__)
"""
MODEL = """
import ppl, torch
import ppl.distributions as dist

def model(data):
    rate = ppl.sample("rate", dist.Gamma(2.0, 2.0))
    with ppl.plate("data", len(data)):
        ppl.sample("obs", dist.Gompertz(0.5, rate), obs=data)

ppl.set_rng_seed(0)
data = dist.Gompertz(0.5, 2.0).sample((200,))
"""
SVI = """
from ppl.infer import SVI
from ppl.optim import Adam

def guide(data):
    loc = ppl.param("loc", torch.tensor(0.0))
    ppl.sample("rate", dist.LogNormal(loc, 0.05))

svi = SVI(model, guide, Adam({"lr": 0.02}), loss="TemperedELBO", temperature=0.5)
for _ in range(300):
    svi.step(data)
print(float(ppl.param("loc").exp()))
"""
MCMC = """
from ppl.infer.mcmc import MCMC
import ppl.plugins as plugins

kernel = plugins.load("ppl.kernels", "RandomWalk")(model, step_size=0.2)
mcmc = MCMC(kernel, num_samples=1000, warmup_steps=200, disable_progbar=True)
mcmc.run(data)
print(float(mcmc.get_samples()["rate"].mean()))
"""


TRANSFORM = """
import torch
from ppl.distributions import transforms
from ppl.distributions.testing import TransformCase, check_transform

params = {"concentration": torch.tensor(0.5), "rate": torch.tensor(2.0)}
check_transform(TransformCase("hazard", transforms.GompertzHazard, params=params))
print("GompertzHazard" in dir(transforms))
"""
CONSTRAINT = """
import torch, ppl
from ppl.distributions import biject_to, constraints
from ppl.distributions.testing import TransformCase, check_transform

decreasing = constraints.decreasing_vector
check_transform(TransformCase("decreasing", lambda: biject_to(decreasing), shape=(3,)))
curve = torch.tensor([3.0, 2.0, 0.5])
value = ppl.param("curve", curve, constraint=decreasing)
print("decreasing_vector" in dir(constraints), torch.allclose(value, curve))
"""
DIVERGENCE = """
import torch
import ppl.distributions as dist

torch.manual_seed(0)
p, q = dist.Gompertz(0.5, 2.0), dist.Gompertz(0.8, 2.0)
x = p.sample((20_000,))
terms = p.log_prob(x) - q.log_prob(x)
error = terms.std() / len(x) ** 0.5
print(float((terms.mean() - dist.kl_divergence(p, q)) / error), "Gompertz" in dir(dist))
"""
LANGEVIN = """
import torch
import ppl, ppl.plugins as plugins
import ppl.distributions as dist
from ppl.infer import MCMC

kernels = plugins.load("ppl.kernels", "Langevin")
batches = []

class Watched(kernels):
    def transition(self, potential_and_grad, device):
        batches.append(potential_and_grad.program.status)
        return super().transition(potential_and_grad, device)

def rates(data):
    rate = ppl.sample("rate", dist.Gamma(4.0, 2.0))
    ppl.sample("data", dist.Poisson(rate).expand([len(data)]).to_event(1), obs=data)

ppl.set_rng_seed(0)
mcmc = MCMC(Watched(rates, jit_compile=True), 200, 200, num_chains=64, disable_progbar=True)
mcmc.run(torch.tensor([1.0, 3.0, 2.0]))
draws = mcmc.get_samples(group_by_chain=True)["rate"]
print(batches, tuple(draws.shape), float(draws.mean()))
"""


@pytest.fixture(scope="module")
def acme(fresh: Callable):
    """Return an environment with all of ppl and the third party's plugin."""
    return fresh("ppl-all", "ppl-acme")


def test_a_plugin_is_found_by_name(acme) -> None:
    assert acme.run(LOAD).split() == ["ppl_acme.distribution", "ppl_acme.elbo", "ppl_acme.kernel"]


def test_a_plugin_is_listed(acme) -> None:
    listing = acme.run("import runpy; runpy.run_module('ppl', run_name='__main__')")
    assert "ppl-acme 1.0.0" in listing
    for name in ("Gompertz", "GompertzHazard", "decreasing_vector", "TemperedELBO", "RandomWalk"):
        assert f"{name}  (ppl-acme)" in listing


def test_a_transform_of_a_plugin_obeys_the_laws(acme) -> None:
    assert acme.run(TRANSFORM).strip() == "True"


def test_a_constraint_of_a_plugin_is_reached_by_a_transform_that_obeys_the_laws(acme) -> None:
    assert acme.run(CONSTRAINT).split() == ["True", "True"]


def test_a_divergence_of_a_plugin_equals_its_definition(acme) -> None:
    z, is_listed = acme.run(DIVERGENCE).split()
    assert abs(float(z)) < 4  # about 1e-4 chance of a false alarm
    assert is_listed == "True"


# The data are 200 lifetimes of rate 2; the posterior has a standard deviation of about 0.15, so
# that both estimates lie within 0.6 of the truth, and near each other.
def test_a_plugin_takes_part_in_svi(acme) -> None:
    assert float(acme.run(MODEL + SVI)) == pytest.approx(2.0, abs=0.6)


def test_a_plugin_takes_part_in_mcmc(acme) -> None:
    assert float(acme.run(MODEL + MCMC)) == pytest.approx(2.0, abs=0.6)


def test_the_distribution_of_a_plugin_needs_core_alone(fresh: Callable) -> None:
    program = "import ppl.plugins as p; print(p.load('ppl.distributions', 'Gompertz').__name__)"
    assert fresh("ppl-acme").run(program).strip() == "Gompertz"


def test_a_broken_plugin_breaks_its_own_names_and_nothing_else(fresh: Callable) -> None:
    environment = fresh("ppl-all", "ppl-acme", "ppl-broken")
    assert len(environment.run(LOAD).split()) == 3
    listing = environment.run("import runpy; runpy.run_module('ppl', run_name='__main__')")
    assert "Haunted  (ppl-broken)" in listing
    program = """
import ppl.distributions as dist
import ppl.infer
from ppl.infer import SVI, NUTS
dist.Normal(0.0, 1.0), dist.Gompertz(1.0, 1.0), dir(dist), dir(ppl.infer)
try:
    dist.Haunted
except Exception as error:
    print(error)
"""
    message = environment.run(program)
    assert "ppl-broken" in message
    assert "the flux capacitor is missing" in message


def test_two_owners_of_a_name_are_refused_with_both_named(fresh: Callable) -> None:
    environment = fresh("ppl-all", "ppl-acme", "ppl-rival")
    program = """
import ppl.distributions as dist
from ppl.errors import DuplicatePluginError
dist.Normal(0.0, 1.0)
try:
    dist.Gompertz
except DuplicatePluginError as error:
    print(error)
"""
    message = environment.run(program)
    assert "ppl-acme" in message
    assert "ppl-rival" in message


def test_the_kernel_of_the_page_is_that_of_the_plugin() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    kernel = ROOT / "tests" / "plugins" / "ppl-acme" / "src" / "ppl_acme" / "langevin.py"
    assert f"```python\n{kernel.read_text('utf-8')}" in page


@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
def test_a_kernel_of_a_plugin_runs_many_chains_together_and_compiled(acme) -> None:
    batches, shape, mean = acme.run(LANGEVIN).replace(", ", ",").split()
    assert (batches, shape) == ("['compiled']", "(64,200)")
    assert float(mean) == pytest.approx(
        2.0, abs=0.05
    )  # sd 0.63 / sqrt(2000 effective draws): 3.5 se
