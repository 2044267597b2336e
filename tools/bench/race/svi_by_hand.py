"""The loops that a user of torch writes without a library, plain and with ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from .svi_data import DATA, RATES, SIZES


def start(way: str, name: str) -> Callable[[int], list[float]]:
    """Return a function that takes steps, with the loss ``plain`` or ``compiled``."""
    torch.manual_seed(0)
    data = [torch.as_tensor(x, dtype=torch.float32) for x in DATA[name]().values()]
    params, loss = _LOSSES[name](*data)
    optimizer = torch.optim.Adam(params, lr=RATES[name], fused=True)
    found = torch.compile(loss, dynamic=False) if way == "compiled" else loss

    def step() -> float:
        optimizer.zero_grad()
        value = found()
        value.backward()
        optimizer.step()
        return float(value)

    return lambda num_steps: [step() for _ in range(num_steps)]


def _logistic(x: Tensor, y: Tensor) -> Any:
    loc, log_scale = (torch.full((21,), v, requires_grad=True) for v in (0.0, -2.3))

    def loss() -> Tensor:
        w = loc + log_scale.exp() * torch.randn(21)
        nll = binary_cross_entropy_with_logits(x @ w[:-1] + w[-1], y, reduction="sum")
        return 0.5 * w.square().sum() + nll - log_scale.sum() - 10.5

    return [loc, log_scale], loss


def _vae(x: Tensor) -> Any:
    hidden, latent = SIZES["hidden"], SIZES["latent"]
    encoder = nn.Sequential(nn.Linear(784, hidden), nn.Softplus(), nn.Linear(hidden, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Softplus(), nn.Linear(hidden, 784))

    def loss() -> Tensor:
        loc, log_scale = encoder(x).chunk(2, -1)
        noise = torch.randn_like(loc)
        z = loc + log_scale.exp() * noise
        nll = binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        return nll + (0.5 * z.square() - 0.5 * noise.square() - log_scale).sum()

    return [*encoder.parameters(), *decoder.parameters()], loss


_LOSSES = {"logistic": _logistic, "vae": _vae}
