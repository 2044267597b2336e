"""Race flows against those of zuko as densities of data: same architecture, batches and optimizer.

    python tools/bench/densities.py  # where zuko is installed

Two moons and a ring are learned by masked autoregressive flows, affine and of splines, with the
order of components and the networks of zuko.  The table shows the negative log likelihood of points
held out, in nats, averaged over seeds; the ratio should be within 2 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]
ORDERS = [torch.tensor([1, 0]), torch.arange(2)] * 2  # zuko's first transform of values comes last
HIDDEN, BINS, BATCH = [64, 64], 8, 256


def two_moons(number: int) -> Tensor:
    """Return points on two half circles, with noise."""
    angle = math.pi * torch.rand(number)
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    lower = torch.tensor([1.0, 0.5]) - upper
    return torch.where(torch.rand(number, 1) < 0.5, upper, lower) + 0.1 * torch.randn(number, 2)


def ring(number: int) -> Tensor:
    """Return points at a distance of about two from the origin."""
    angle = 2 * math.pi * torch.rand(number)
    return torch.stack([angle.cos(), angle.sin()], -1) * (2 + 0.2 * torch.randn(number, 1))


def ours(kind: str) -> tuple[torch.nn.Module, Loss]:
    """Return a flow of ppl and its loss."""
    import ppl.distributions as dist
    import ppl.distributions.transforms as T
    from ppl.nn import AutoRegressiveNN

    def layer(order: Tensor) -> Any:
        if kind == "affine":
            return T.AffineAutoregressive(AutoRegressiveNN(2, HIDDEN, permutation=order))
        sizes = [BINS, BINS, BINS - 1]
        network = AutoRegressiveNN(2, HIDDEN, param_dims=sizes, permutation=order)
        return T.SplineAutoregressive(2, network, BINS, bound=5.0, order="quadratic")

    layers = torch.nn.ModuleList(map(layer, ORDERS))
    noise = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    density = dist.TransformedDistribution(noise, [x.inv for x in layers])
    return layers, lambda x: -density.log_prob(x).mean()


def zukos(kind: str) -> tuple[torch.nn.Module, Loss]:
    """Return a flow of zuko and its loss."""
    import zuko

    options = {"transforms": len(ORDERS), "hidden_features": HIDDEN}
    flow = (
        zuko.flows.MAF(2, **options)
        if kind == "affine"
        else zuko.flows.NSF(2, bins=BINS, **options)
    )
    return flow, lambda x: -flow().log_prob(x).mean()


def held_out_loss(make: Callable[[str], Any], kind: str, seed: int, steps: int, draw: Any) -> float:
    """Fit a flow and return its loss at points that it has not seen."""
    torch.manual_seed(0)
    data, held_out = draw(5000), draw(5000)
    torch.manual_seed(seed)
    module, loss = make(kind)
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    torch.manual_seed(0)  # the same batches
    for _ in range(steps):
        optimizer.zero_grad()
        loss(data[torch.randint(len(data), (BATCH,))]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return float(loss(held_out))


def main() -> None:
    """Fit both libraries' flows to both sets of points and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'':20}{'ppl':>9}{'zuko':>9}{'ratio':>9}")
    for draw in (two_moons, ring):
        for kind in ("affine", "spline"):
            mean = [
                sum(held_out_loss(make, kind, s, options.steps, draw) for s in range(options.seeds))
                / options.seeds
                for make in (ours, zukos)
            ]
            row = f"{mean[0]:9.3f}{mean[1]:9.3f}{mean[0] / mean[1]:9.3f}"
            print(f"{draw.__name__ + ', ' + kind:20}{row}", flush=True)


if __name__ == "__main__":
    main()
