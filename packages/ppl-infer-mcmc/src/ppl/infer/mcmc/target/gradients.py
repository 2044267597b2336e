"""Whether the gradient of a density is that of the density, and reaches all of its sites.

A model that detaches a site, as ``torch.tensor([a, b])`` does, has a density without the gradient
that belongs to it: the sampler goes astray, and takes the longest trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ppl.errors import warn
from ppl.infer.layout import Layout
from ppl.infer.mcmc.target.evaluation import vmap_potential
from ppl.validation import validation_enabled

STEPS = (1.0, 4.0)  # in units of the step at which rounding and curvature matter least
AGREEMENT = 0.1  # of the differences over both steps: what does not agree says nothing
DISAGREEMENT = 0.5  # of a site's gradient with the differences
SUSPICION = 0.02  # the same for all sites together: so much is worth a look at each of them


def warn_of_lost_gradients(
    potential: Callable[[Tensor], Tensor], layout: Layout, position: Tensor
) -> None:
    """Warn if the gradient of a potential is not its slope, and name the sites.

    Args:
        potential: Maps a flat position ``(dim,)`` to the potential energy.
        layout: How the sites lie in a position.
        position: A position where the potential is finite, shape ``(dim,)``.
    """
    whole = torch.ones(1, len(position), dtype=torch.bool, device=position.device)
    if not bool(_is_lost(potential, position, whole, SUSPICION).any()):
        return
    blocks = dict(_blocks(layout, position))
    lost = _is_lost(potential, position, torch.stack(list(blocks.values())))
    names = [name for name, is_lost in zip(blocks, lost.tolist(), strict=True) if is_lost]
    if names:
        warn(
            f"no gradient reaches the sites {names} from some of the places where the model uses "
            "them, so that sampling is slow; look for operations that detach: write "
            "torch.stack([a, b]) instead of torch.tensor([a, b]), and avoid float(), .item(), "
            ".detach(), .data, .numpy() and torch.no_grad()"
        )


def _blocks(layout: Layout, position: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield each site with the components of a position that belong to it, ``(dim,)``."""
    for name in layout.names:
        own = torch.zeros_like(position, dtype=torch.bool)
        own[layout.places((name,)).to(position.device)] = True
        yield name, own


@validation_enabled(False)
def _is_lost(
    potential: Callable[[Tensor], Tensor],
    position: Tensor,
    blocks: Tensor,
    tolerance: float = DISAGREEMENT,
) -> Tensor:
    """Return for each block, ``(block, dim)``, whether its gradient is not the slope along it."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(blocks.shape, generator=generator, dtype=torch.float64).to(position)
    direction = noise * blocks
    unit = torch.finfo(position.dtype).eps ** (1 / 3)
    steps = unit * position.new_tensor([s * sign for s in STEPS for sign in (1.0, -1.0)])
    points = position + steps[:, None, None] * direction  # (step, block, dim)
    value, _ = vmap_potential(potential)(points.flatten(0, 1))
    _, gradient = vmap_potential(potential)(position[None])
    value = value.double().unflatten(0, points.shape[:2])
    near, far = ((value[i] - value[i + 1]) / (2 * float(steps[i])) for i in (0, 2))
    expected = (direction * gradient).sum(-1).double()
    scale = torch.maximum(near.abs(), expected.abs())
    noise_level = 100 * torch.finfo(position.dtype).eps * value.abs().amax(0) / float(steps[0])
    is_clear = ((near - far).abs() < AGREEMENT * scale) & near.isfinite() & expected.isfinite()
    is_lost = (near - expected).abs() > tolerance * scale + noise_level
    found: Tensor = is_clear & is_lost
    return found
