"""Trees of modules of every kind, each with the statements that a call of it must make."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.distributions import constraints

from ppl.distribution import TorchDistributionMixin
from ppl.nn import PyroModule, PyroModuleList, PyroParam, PyroSample
from ppl.nn.module import to_pyro_module_

INPUT = torch.tensor([0.5, -1.0])


class Normal(torch.distributions.Normal, TorchDistributionMixin):
    pass


def standard(*shape):
    return Normal(torch.zeros(shape), 1.0).to_event(len(shape))


def around_w(module):
    return Normal(module.w, module.s).to_event(1)


def twice(module, *names):
    """A number that depends on each attribute, read twice."""
    return sum((getattr(module, name) * getattr(module, name)).sum() for name in names)


class Own(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.w = nn.Parameter(torch.randn(2))
        self.s = PyroParam(torch.rand(2) + 0.1, constraints.positive)
        self.x = PyroSample(standard(2))
        self.y = PyroSample(around_w)

    def forward(self):
        return twice(self, "w", "s", "x", "y")


class Declared(PyroModule):
    @PyroParam(constraint=constraints.simplex)
    def p(self):
        return torch.tensor([0.25, 0.75])

    @PyroParam
    def m(self):
        return torch.full((2,), 3.0)

    @PyroSample
    def x(self):
        return Normal(self.m, self.p).to_event(1)

    free = PyroSample(standard(2))

    def forward(self):
        return twice(self, "p", "m", "x", "free")


class Nested(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.inner = Own("ignored")
        self.deep = PyroModule()
        self.deep.er = PyroModule()
        self.deep.er.w = PyroParam(torch.randn(2))
        self.deep.er.x = PyroSample(standard(2))

    def forward(self):
        return self.inner() + twice(self.deep.er, "w", "x")


class Plain(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.layer = nn.Linear(2, 1)
        self.net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
        self.register_buffer("offset", torch.ones(1))

    def forward(self):
        return (self.layer(self.net(INPUT)) + self.offset).sum()


class Between(nn.Module):
    """A plain module between two that are managed."""

    def __init__(self):
        super().__init__()
        self.own = Own("ignored")
        self.plain = Plain()
        self.w = nn.Parameter(torch.randn(2))

    def forward(self):
        return self.own() + self.plain() + twice(self, "w")


class Mixed(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.between = Between()
        self.bare = nn.ModuleList([nn.ModuleList([Own()])])

    def forward(self):
        return self.between() + self.bare[0][0]()


class Layer(nn.Linear, PyroModule):
    def __init__(self):
        super().__init__(2, 1)
        self.weight = PyroSample(standard(1, 2))


class Layers(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.layer = Layer()
        self.bayes = PyroModule[nn.Linear](2, 2)
        self.bayes.weight = PyroSample(standard(2, 2))
        self.bayes.bias = PyroParam(torch.rand(2), constraints.unit_interval)

    def forward(self):
        return self.layer(self.bayes(INPUT)).sum()


class Converted(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Sequential(nn.Linear(2, 1)))
        to_pyro_module_(self.net)
        self.net = self.net
        self.net[2][0].weight = PyroSample(standard(1, 2))

    def forward(self):
        return self.net(INPUT).sum()


class Listed(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.members = PyroModuleList([Own()])
        self.members.append(Own())

    def forward(self):
        return sum(member() for member in self.members)


class Grown(PyroModule):
    """Makes its attributes in the middle of its first call, as automatic guides do."""

    def forward(self):
        if not hasattr(self, "locs"):
            self.locs = PyroModule()
            self.locs.a = PyroModule()
            self.locs.a.b = PyroParam(torch.randn(2))
            self.scale = PyroParam(torch.rand(2) + 0.1, constraints.positive)
        return twice(self.locs.a, "b") + twice(self, "scale")


class Case(NamedTuple):
    make: type[PyroModule]
    params: list[str]
    samples: list[str]

    def __str__(self):
        return self.make.__name__


def own(path):
    return [f"{path}{name}" for name in "ws"], [f"{path}{name}" for name in "xy"]


def plain(path):
    names = ["layer$$$weight", "layer$$$bias", "net$$$0.weight", "net$$$0.bias"]
    return [path + name for name in names]


CASES = [
    Case(Own, *own("")),
    Case(Declared, ["p", "m"], ["x", "free"]),
    Case(Nested, [*own("inner.")[0], "deep.er.w"], [*own("inner.")[1], "deep.er.x"]),
    Case(Plain, plain(""), []),
    Case(
        Mixed,
        [
            *own("between.own.")[0],
            *plain("between.plain."),
            "between$$$w",
            *own("bare.0.0.")[0],
        ],
        [*own("between.own.")[1], *own("bare.0.0.")[1]],
    ),
    Case(Layers, ["layer.bias", "bayes.bias"], ["layer.weight", "bayes.weight"]),
    Case(Converted, ["net.0.weight", "net.0.bias", "net.2.0.bias"], ["net.2.0.weight"]),
    Case(
        Listed,
        [*own("members.0.")[0], *own("members.1.")[0]],
        [*own("members.0.")[1], *own("members.1.")[1]],
    ),
    Case(Grown, ["locs.a.b", "scale"], []),
]

# trees that draw parameters at random when they are made, rather than at their first call
DRAWN = [case for case in CASES if case.make not in (Declared, Grown)]
