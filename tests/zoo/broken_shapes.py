"""Shapes and plates."""

from __future__ import annotations

import torch

import ppl
import ppl.distributions as dist

from .entry import Exhibition

shown = Exhibition()
DATA = torch.linspace(-1.0, 1.0, 10)


@shown(("PPL201", "w"))
def forgotten_to_event():
    with ppl.plate("data", 10):
        ppl.sample("w", dist.Normal(torch.zeros(3), 1.0))


@shown(("PPL201", "y"), args=(DATA,))
def plate_of_the_wrong_size(data):
    with ppl.plate("data", 8):
        ppl.sample("y", dist.Normal(torch.zeros(10), 1.0), obs=data)


@shown(("PPL202", "w"))
def vector_without_plate():
    w = ppl.sample("w", dist.Normal(torch.zeros(3), 1.0))
    ppl.sample("y", dist.Normal(w.sum(), 1.0), obs=torch.tensor(0.3))


@shown(("PPL202", "y"), args=(DATA,))
def latents_of_a_plate_used_outside(data):
    with ppl.plate("data", 10):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(z, 1.0), obs=data)


@shown(("PPL203", "y"), args=(DATA,))
def data_longer_than_the_plate(data):
    with ppl.plate("data", 8):
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=data)


@shown(("PPL203", "y"), args=(DATA,))
def events_of_another_length(data):
    ppl.sample("y", dist.Normal(torch.zeros(8), 1.0).to_event(1), obs=data)


@shown(("PPL204", "y"), args=(DATA,))
def data_without_plate(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(mean, 1.0), obs=data)


@shown(("PPL205", "columns"))
def two_plates_at_one_dim():
    with ppl.plate("rows", 3, dim=-1), ppl.plate("columns", 2, dim=-1):
        ppl.sample("x", dist.Normal(0.0, 1.0))


@shown(("PPL205", "rows"))
def plate_inside_itself():
    rows = ppl.plate("rows", 3)
    with rows, rows:
        ppl.sample("x", dist.Normal(0.0, 1.0))


@shown(("PPL205", "steps"))
def loop_with_a_dim():
    for i in ppl.plate("steps", 3, dim=-1):
        ppl.sample(f"x{i}", dist.Normal(0.0, 1.0))


@shown(("PPL205", "data"), args=(DATA[:0],))
def plate_of_a_negative_size(data):
    with ppl.plate("data", len(data) - 1):
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=data)


@shown(("PPL207", "y"), args=(DATA,))
def data_not_subsampled(data):
    with ppl.plate("data", 10, subsample_size=4):
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=data)


@shown(("PPL207", "y"), args=(DATA,))
def covariates_not_subsampled(data):
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 10, subsample_size=4) as index:
        ppl.sample("y", dist.Normal(slope * data, 1.0), obs=data[index])
