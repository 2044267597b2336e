"""Microseconds of a step of variational inference: handlers, programs, and a loop by hand.

Usage: python tools/bench/svi.py [MODEL ...]    one run, one thread, so that the ratios hold.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
import ppl.infer.svi.whole_step as whole_step
from ppl.infer import SVI, JitTrace_ELBO, Trace_ELBO
from ppl.optim import Adam

Step = Callable[[], object]


def logistic(rows: int = 1000, columns: int = 20) -> tuple[Callable, Callable, Callable, tuple]:
    """A logistic regression with a mean-field guide: model, guide, a loss by hand, data."""
    x = torch.randn(rows, columns)
    y = (torch.rand(rows) < 0.5).float()

    def model(x: Tensor, y: Tensor) -> None:
        weight = ppl.sample("w", dist.Normal(0.0, 1.0).expand([columns + 1]).to_event(1))
        with ppl.plate("data", rows):
            logits = x @ weight[:-1] + weight[-1]
            ppl.sample("y", dist.Bernoulli(logits=logits), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        loc = ppl.param("loc", torch.zeros(columns + 1))
        log_scale = ppl.param("log_scale", torch.zeros(columns + 1))
        ppl.sample("w", dist.Normal(loc, log_scale.exp()).to_event(1))

    def by_hand(loc: Tensor, log_scale: Tensor) -> Tensor:
        w = loc + log_scale.exp() * torch.randn(columns + 1)
        logits = x @ w[:-1] + w[-1]
        nll = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="sum")
        return 0.5 * w.square().sum() + nll - log_scale.sum()

    return model, guide, by_hand, (x, y)


MODELS = {"logistic": logistic}


def hand_written(by_hand: Callable[..., Tensor], size: int = 21) -> Step:
    """The loop that a user of torch writes."""
    params = [torch.zeros(size, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.Adam(params, lr=1e-3, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        loss = by_hand(*params)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def of_svi(model: Callable, guide: Callable, data: tuple, loss: object, mode: str) -> Step:
    """A step of SVI, in its store."""
    store = ppl.params.ParamStoreDict()
    svi = SVI(model, guide, Adam({"lr": 1e-3}), loss)
    if mode != "eager":
        svi._whole = whole_step.WholeStep(svi, mode, warns=True)  # type: ignore[arg-type]
    enter = ppl.params.current.param_store(store)
    enter.__enter__()
    for _ in range(5):
        svi.step(*data)
    enter.__exit__(None, None, None)

    def step() -> float:
        return svi.step(*data)

    step.store = store  # type: ignore[attr-defined]
    return step


def microseconds(step: Step, number: int = 300, repeats: int = 5) -> float:
    """The shortest of some averages, in thread time."""
    times = []
    with ppl.params.current.param_store(getattr(step, "store", None)):
        for _ in range(repeats):
            start = time.thread_time()
            for _ in range(number):
                step()
            times.append(time.thread_time() - start)
    return min(times) / number * 1e6


def main(names: list[str]) -> None:
    """Print a line for each way to take a step."""
    torch.set_num_threads(1)
    for name in names or MODELS:
        ppl.set_rng_seed(0)
        model, guide, by_hand, data = MODELS[name]()
        steps = {
            "by hand": hand_written(by_hand),
            "handlers": of_svi(model, guide, data, Trace_ELBO(), "eager"),
            "recorded loss": of_svi(model, guide, data, JitTrace_ELBO(), "eager"),
            "recorded step": of_svi(model, guide, data, Trace_ELBO(), "graph"),
            "compiled step": of_svi(model, guide, data, Trace_ELBO(), "inductor"),
        }
        for way, step in steps.items():
            print(f"{name:10} {way:14} {microseconds(step):8.1f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
