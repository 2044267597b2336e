"""Random attributes: priors, layers of torch, handlers, errors."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.engine import record
from ppl.errors import SiteError
from ppl.nn import PyroModule, PyroParam, PyroSample
from ppl.primitives import plate
from ppl.util import set_rng_seed

from .trees import INPUT, Normal, Own, standard


class Reader(PyroModule):
    """Returns its attribute ``x``."""

    def forward(self):
        return self.x


PRIORS = {
    "a distribution": standard(2),
    "a distribution of torch": torch.distributions.Normal(torch.zeros(2), 1.0),
    "a function": lambda self: standard(2),
    "a function that returns one of torch": lambda self: torch.distributions.Normal(
        torch.zeros(2), 1.0
    ),
}


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_the_prior_is_the_distribution_of_the_site(prior):
    module = Reader()
    module.x = PyroSample(prior)
    trace = poutine.trace(module).get_trace()
    x = trace.nodes["x"]["value"]
    normal = torch.distributions.Normal(0.0, 1.0)
    assert_close(trace.log_prob_sum(), normal.log_prob(x).sum())
    set_rng_seed(3)
    draw = module.x
    set_rng_seed(3)
    assert_close(draw, module())


def test_a_function_that_returns_a_tensor_makes_a_deterministic_site():
    module = Reader("root")
    module.x = PyroSample(lambda self: torch.ones(2))
    trace = poutine.trace(module).get_trace()
    assert_close(trace.nodes["root.x"]["value"], torch.ones(2))
    assert_close(trace.log_prob_sum(), torch.tensor(0.0))
    assert_close(module.x, torch.ones(2))


def test_a_prior_may_read_other_attributes():
    module = Reader()
    module.loc = PyroParam(torch.tensor(3.0))
    module.y = PyroSample(lambda self: Normal(self.loc, 1.0))
    module.x = PyroSample(lambda self: Normal(self.y, 1.0))
    trace = poutine.trace(module).get_trace()
    assert list(trace.nodes)[1:-1] == ["loc", "y", "x"]
    assert_close(trace.nodes["x"]["fn"].loc, trace.nodes["y"]["value"])


def test_a_layer_of_torch_computes_with_its_random_weights():
    layer = PyroModule[nn.Linear](2, 3)
    layer.weight = PyroSample(standard(3, 2))
    layer.bias = PyroSample(standard(3))
    given = {"weight": torch.randn(3, 2), "bias": torch.randn(3)}
    output = poutine.condition(layer, given)(INPUT)
    assert_close(output, given["weight"] @ INPUT + given["bias"])


def test_a_sample_in_a_plate_has_its_batch():
    class Batched(PyroModule):
        def __init__(self):
            super().__init__()
            self.x = PyroSample(Normal(0.0, 1.0))

        def forward(self):
            with plate("data", 3):
                return self.x

    assert Batched()().shape == (3,)


def test_a_plain_value_replaces_a_random_attribute():
    module = Reader()
    module.x = PyroSample(standard(2))
    module.x = torch.ones(2)
    assert poutine.trace(module).get_trace().stochastic_nodes == []
    assert_close(module(), torch.ones(2))


def test_an_instance_may_replace_what_its_class_declares():
    class Declared(Reader):
        @PyroSample
        def x(self):
            return standard(2)

    module = Declared()
    module.x = PyroSample(standard(5))
    assert module().shape == module.x.shape == (5,)
    del module.x
    assert module().shape == (2,)
    assert isinstance(Declared.x, PyroSample)


def test_gradients_of_a_captured_density_equal_the_eager_ones():
    module = Own()
    latents = {"w": torch.randn(2), "s": torch.rand(2) + 0.1, "x": torch.randn(2)}

    def log_density(latents, y):
        model = poutine.substitute(module, {**latents, "y": y})
        return poutine.trace(model).get_trace().log_prob_sum()

    gradient = torch.func.vmap(torch.func.grad(log_density), in_dims=(None, 0))
    program = record(gradient, latents, torch.randn(4, 2))
    y = torch.randn(4, 2)
    assert_close(program(latents, y), gradient(latents, y))
    residual = (y - latents["w"]) / latents["s"] ** 2
    assert_close(program(latents, y)["w"], residual)


@pytest.mark.parametrize("prior", [3, "normal", None, torch.ones(2)], ids=repr)
def test_a_prior_that_is_no_distribution_is_refused(prior):
    with pytest.raises(SiteError, match="the prior of a PyroSample is a distribution"):
        PyroSample(prior)


def test_a_prior_that_returns_no_distribution_is_refused_with_the_name_of_the_site():
    module = Reader("root")
    module.x = PyroSample(lambda self: "normal")
    for read in (module, lambda: module.x):
        with pytest.raises(SiteError, match=r"'root\.x'.*got 'normal'"):
            read()


def test_an_attribute_error_in_a_declaration_is_not_mistaken_for_a_missing_attribute():
    class Wrong(Reader):
        @PyroSample
        def x(self):
            return standard(self.misspelled)

    with pytest.raises(SiteError, match=r"'x' failed: .*'misspelled'"):
        Wrong()()
