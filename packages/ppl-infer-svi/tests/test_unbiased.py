"""Gradients of every kind of loss and guide are right on average: a table against exact ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
from ppl.distributions.testing import fakes
from ppl.infer import (
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)

DATA = torch.tensor([0.3, 1.2, -0.5], dtype=torch.float64)
MEAN = torch.tensor(0.4, dtype=torch.float64)
LOGITS = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64)
SCALE = 0.7
REPEATS = 120

LOSSES = {
    "Trace": Trace_ELBO(),
    "Trace, vectorized": Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=1),
    "TraceGraph": TraceGraph_ELBO(),
    "TraceEnum": TraceEnum_ELBO(max_plate_nesting=1),
    "TraceMeanField": TraceMeanField_ELBO(),
}
WITH_SCORES = [name for name in LOSSES if name != "TraceMeanField"]
FAMILIES = {"pathwise": dist.Normal, "score": fakes.NonreparameterizedNormal}
TABLE = [
    *((loss, family, "drawn") for loss in WITH_SCORES for family in FAMILIES),
    *(("TraceEnum", family, "enumerated") for family in FAMILIES),
    *((loss, "pathwise", None) for loss in ("Trace", "TraceMeanField")),
]


def model(kind, size):
    z = ppl.sample("z", dist.Normal(MEAN * 0.0, 1.0))
    with ppl.plate("rows", len(DATA), subsample_size=size) as rows:
        k = ppl.sample("k", dist.Bernoulli(MEAN * 0.0 + 0.5)) if kind else 0.0
        ppl.sample("x", dist.Normal(z + k, 1.0), obs=DATA[rows])


def guide(kind, size, family):
    ppl.sample("z", family(ppl.param("mean", MEAN.clone()), SCALE))
    logits = ppl.param("logits", LOGITS.clone())
    marks = {"enumerate": "parallel"} if kind == "enumerated" else {}
    with ppl.plate("rows", len(DATA), subsample_size=size) as rows:
        if kind:
            ppl.sample("k", dist.Bernoulli(logits=logits[rows]), infer=marks)


def exact(kind) -> list[Tensor]:
    """The gradient of minus the ELBO: sums over k, squares for z."""
    mean, logits = MEAN.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    total = -0.5 * mean.square()
    for k in (0.0, 1.0) if kind else (0.0,):
        log_q = torch.nn.functional.logsigmoid(logits if k else -logits) if kind else 0 * logits
        value = -0.5 * (DATA - mean - k).square() + (math.log(0.5) if kind else 0.0) - log_q
        total = total + (log_q.exp() * value).sum()
    return list(torch.autograd.grad(-total, [mean, logits]))


@pytest.mark.parametrize("size", [None, 2], ids=["full", "subsampled"])
@pytest.mark.parametrize(("loss", "family", "kind"), TABLE, ids=str)
def test_gradients_are_unbiased(loss, family, kind, size):
    """90 numbers at 4.5 standard errors, of t with 119 degrees: a false alarm of 2e-3 in all."""
    ppl.clear_param_store()
    ppl.set_rng_seed(3)
    programs = (lambda: model(kind, size)), (lambda: guide(kind, size, FAMILIES[family]))
    rows = []
    for _ in range(REPEATS):
        LOSSES[loss].loss_and_grads(*programs)
        leaves = dict(ppl.get_param_store().named_parameters())
        found = [leaves[name].grad for name in ("mean", "logits")]
        rows.append(torch.cat([torch.zeros(3) if g is None else g.reshape(-1) for g in found]))
        for leaf in leaves.values():
            leaf.grad = None
    draws = torch.stack(rows)
    truth = torch.cat([g.reshape(-1) for g in exact(kind)])
    error = draws.std(0) / math.sqrt(REPEATS) + 1e-12
    assert ((draws.mean(0) - truth).abs() / error).max() < 4.5
