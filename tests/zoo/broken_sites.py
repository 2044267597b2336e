"""Names and structure: sites that collide, come and go, or are no random variables."""

from __future__ import annotations

import torch

import ppl
import ppl.distributions as dist

from .entry import Exhibition

shown = Exhibition()


@shown(("PPL101", "x"))
def one_name_in_a_loop():
    for _ in range(3):
        ppl.sample("x", dist.Normal(0.0, 1.0))


@shown(("PPL101", "w"))
def parameter_with_the_name_of_a_site():
    w = ppl.sample("w", dist.Normal(0.0, 1.0))
    ppl.param("w", torch.tensor(1.0))
    ppl.sample("y", dist.Normal(w, 1.0), obs=torch.tensor(0.3))


@shown(("PPL101", "rows"))
def one_plate_name_in_a_loop():
    for i in range(2):
        with ppl.plate("rows", 3):
            ppl.sample(f"x{i}", dist.Normal(0.0, 1.0))


@shown(("PPL102", "noise"))
def function_in_the_place_of_a_distribution():
    noise = ppl.sample("noise", lambda: torch.randn(()))
    ppl.sample("y", dist.Normal(noise, 1.0), obs=torch.tensor(0.3))


@shown(("PPL102", "x"))
def number_in_the_place_of_a_distribution():
    ppl.sample("x", 3.0)


@shown(("PPL102", "y"))
def observation_that_is_no_number():
    ppl.sample("y", dist.Normal(0.0, 1.0), obs="high")


@shown(("PPL103", "x1"), ("PPL103", "x2"))
def number_of_sites_by_chance():
    num_sites = 1 + int(torch.randint(3, ()))
    for i in range(num_sites):
        ppl.sample(f"x{i}", dist.Normal(0.0, 1.0))


@shown(("PPL104", "x"))
def length_by_chance():
    length = int(torch.randint(2, 9, ()))
    ppl.sample("x", dist.Normal(torch.zeros(length), 1.0).to_event(1))


@shown(("PPL105", "share"))
def support_that_depends_on_another_site():
    total = ppl.sample("total", dist.Gamma(2.0, 1.0))
    ppl.sample("share", dist.Uniform(torch.zeros(()), total))


def intercept(y):
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(a, 1.0), obs=y)


@shown(("PPL106", "alpha"), ("PPL501", "slope"), args=(torch.tensor(0.3),))
@ppl.poutine.condition(data={"alpha": torch.tensor(1.0)})
def misspelt_condition_and_an_idle_parameter(y):
    ppl.param("slope", torch.tensor(0.0))
    intercept(y)


@shown(("PPL001", None))
def exception_of_its_own():
    x = ppl.sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    ppl.sample("y", dist.Normal((torch.ones(4, 2) @ x).sum(), 1.0), obs=torch.tensor(0.3))


@shown(("PPL102", "x"))
def forgotten_argument_of_a_distribution():
    ppl.sample("x", dist.Normal)
