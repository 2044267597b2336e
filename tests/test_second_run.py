"""An object of inference that is used twice, with other data, gives what a fresh one gives.

The law that was missing: nothing of one run, such as plate sizes, leaks into the next; where an
object cannot go on with other sizes, it says so.
"""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.optim
import ppl.poutine as poutine
from ppl.errors import ShapeError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import AutoDelta, AutoNormal
from ppl.primitives import get_param_store, param, plate, sample
from ppl.util import set_rng_seed

SMALL, LARGE, GRID = torch.zeros(3), torch.ones(5), torch.ones(2, 4)


@pytest.fixture(autouse=True)
def _fresh_state():
    with get_param_store().scope():
        yield


def model(data):
    """A mean for all; as many nested plates as the data have dimensions."""
    m = sample("m", dist.Normal(0.0, 1.0))
    if data.dim() == 2:
        with plate("rows", data.shape[0], dim=-2), plate("columns", data.shape[1], dim=-1):
            return sample("y", dist.Normal(m, 1.0), obs=data)
    with plate("columns", len(data), dim=-1):
        return sample("y", dist.Normal(m, 1.0), obs=data)


def free(data):
    return poutine.uncondition(model)(data)


def guide(data):
    sample("m", dist.Normal(param("loc", torch.tensor(0.5)), 1.0))


def step(svi, data):
    with get_param_store().scope(get_param_store().get_state()):
        return svi.evaluate_loss(data), svi.step(data), svi.evaluate_loss(data)


def evaluate(svi, data):  # a guide has its parameters itself, and would go on from where it is
    return svi.evaluate_loss(data)


def svi(loss, make_guide=lambda: guide):
    return lambda: SVI(model, make_guide(), ppl.optim.SGD({"lr": 0.01}), loss())


def call(thing, data):
    return thing(data)


def loss(elbo, data):
    return elbo.loss(model, guide, data), elbo.loss_and_grads(model, guide, data)


MANY = {"num_particles": 3, "vectorize_particles": True}
SAMPLES = {"m": torch.tensor([0.1, -0.2, 0.3, 0.4])}
CASES = {
    "Trace_ELBO": (Trace_ELBO, loss),
    "Trace_ELBO, vectorized": (lambda: Trace_ELBO(**MANY), loss),
    "ELBOModule": (lambda: Trace_ELBO()(model, guide), call),
    "SVI": (svi(Trace_ELBO), step),
    "SVI, vectorized": (svi(lambda: Trace_ELBO(**MANY)), step),
    "SVI, AutoNormal": (svi(Trace_ELBO, lambda: AutoNormal(model)), evaluate),
    "SVI, AutoDelta": (svi(Trace_ELBO, lambda: AutoDelta(model)), evaluate),
    "Predictive, prior": (lambda: Predictive(free, num_samples=3), call),
    "Predictive, samples": (lambda: Predictive(free, SAMPLES), call),
    "Predictive, parallel": (lambda: Predictive(free, SAMPLES, parallel=True), call),
    "Predictive, guide": (lambda: Predictive(free, guide=guide, num_samples=3), call),
    "AutoNormal": (lambda: AutoNormal(model), call),
    "AutoDelta": (lambda: AutoDelta(model), call),
}


@pytest.mark.parametrize("first", [SMALL, LARGE, GRID], ids=["small", "large", "grid"])
@pytest.mark.parametrize("second", [SMALL, LARGE, GRID], ids=["small", "large", "grid"])
@pytest.mark.parametrize("case", CASES)
def test_a_second_run_gives_what_a_fresh_object_gives(case, first, second):
    make, use = CASES[case]
    results = []
    for earlier in (first, second):  # a fresh object has seen no other data
        get_param_store().clear()
        thing = make()
        set_rng_seed(1)
        with get_param_store().scope(get_param_store().get_state()):
            use(thing, earlier)
        set_rng_seed(2)
        results.append(use(thing, second))
    assert_close(results[0], results[1])


@pytest.mark.parametrize("make", [AutoNormal, AutoDelta])
def test_a_guide_of_latent_elements_refuses_data_of_another_size(make):
    def local(data):
        with plate("rows", len(data)):
            sample("z", dist.Normal(0.0, 1.0))

    fitted = make(local)
    fitted(SMALL)
    with pytest.raises(ShapeError, match="3 elements of plate 'rows'.*it has 5"):
        fitted(LARGE)
