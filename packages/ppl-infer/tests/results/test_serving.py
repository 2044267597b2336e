"""Programs of torch alone, which need neither ppl nor the source of the model."""

import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, UnsupportedModelError
from ppl.infer import Posterior

SERVE = """
import sys
sys.modules["ppl"] = None  # an import of it fails
import torch
served = torch.export.load(sys.argv[1]).module()
served.load_state_dict(served.state_dict() | torch.load(sys.argv[2], weights_only=True))
found = served(torch.load(sys.argv[3], weights_only=True))
torch.save(found, sys.argv[4])
assert not [name for name in sys.modules if name.startswith("ppl.")]
"""


def regression(x, y=None):
    intercept = ppl.sample("intercept", dist.Normal(0.0, 1.0))
    slope = ppl.sample("a.slope", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("row", len(x)):
        mean = ppl.deterministic("mean", intercept + x @ slope)
        ppl.sample("y", dist.Normal(mean, noise), obs=y)


def draws(num_draws, seed, noise=0.1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "intercept": torch.randn(1, num_draws, generator=generator),
        "a.slope": torch.randn(1, num_draws, 2, generator=generator),
        "noise": torch.full((1, num_draws), noise),
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A file, the posterior that it was made of, and another with other draws."""
    path = tmp_path_factory.mktemp("served") / "regression.pt2"
    x, y = torch.zeros(5, 2), torch.zeros(5)
    first = Posterior.from_draws(draws(40, 0), regression, x, y)
    first.export(path, torch.ones(5, 2), return_sites=["mean", "y"])
    return path, first, Posterior.from_draws(draws(40, 1, 0.5), regression, x, y)


def test_a_served_program_predicts_what_the_posterior_does(served):
    path, posterior, _ = served
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(2))
    program = torch.export.load(path).module()
    found, again = program(x), program(x)
    expected = posterior.predict(x, return_sites=["mean"])["mean"]
    assert_close(found["mean"], expected)
    noise = found["y"] - found["mean"]
    assert abs(noise.std() - 0.1) < 4 * 0.1 / (2 * 200) ** 0.5
    assert not torch.equal(found["y"], again["y"])


def test_new_draws_are_swapped_in_without_ppl(served, tmp_path):
    path, _, other = served
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(2))
    state, rows, answer = (tmp_path / name for name in ("state.pt", "x.pt", "y.pt"))
    torch.save(other.served_draws(), state)
    torch.save(x, rows)
    command = [sys.executable, "-c", SERVE, *map(str, (path, state, rows, answer))]
    subprocess.run(command, check=True, cwd=tmp_path)
    found = torch.load(answer, weights_only=True)
    assert_close(found["mean"], other.predict(x, return_sites=["mean"])["mean"])
    assert abs((found["y"] - found["mean"]).std() - 0.5) < 4 * 0.5 / (2 * 200) ** 0.5


def test_a_part_of_the_draws_can_be_served(served, tmp_path):
    posterior, path = served[1], tmp_path / "few.pt2"
    posterior.export(path, torch.ones(5, 2), num_draws=7)
    found = torch.export.load(path).module()(torch.ones(5, 2))
    assert {name: tuple(x.shape) for name, x in found.items()} == {"mean": (7, 5), "y": (7, 5)}
    assert {len(x) for x in posterior.served_draws(7).values()} == {7}


def test_a_model_with_a_branch_on_a_value_is_refused(tmp_path):
    def branching():
        if ppl.sample("x", dist.Normal(0.0, 1.0)) > 0:
            ppl.sample("y", dist.Normal(0.0, 1.0))

    posterior = Posterior.from_draws({"x": torch.ones(1, 3)}, branching)
    with pytest.raises(UnsupportedModelError, match="cannot be recorded"):
        posterior.export(tmp_path / "branching.pt2")


def test_the_file_has_the_ending_of_torch(served, tmp_path):
    with pytest.raises(ArgumentError, match=r"\.pt2"):
        served[1].export(tmp_path / "regression.onnx", torch.ones(5, 2))
