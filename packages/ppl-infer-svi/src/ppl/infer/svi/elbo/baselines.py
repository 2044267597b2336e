"""What to subtract from the cost of a sample, so that its score function varies less."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.engine import CaptureError, is_recording
from ppl.errors import SiteError
from ppl.infer.arguments import nearest_site

OPTIONS = (
    "use_decaying_avg_baseline",
    "baseline_beta",
    "nn_baseline",
    "nn_baseline_input",
    "baseline_value",
)


class Baselines:
    """The baselines of all sites of a guide, and what they have learnt (Mnih & Gregor 2014)."""

    def __init__(self) -> None:
        self._averages: dict[str, Tensor] = {}
        self._misfits: list[Tensor] = []

    def subtract(self, site: dict[str, Any], cost: Tensor) -> Tensor:
        """Return the cost, which is constant, less the baselines that a site asks for.

        Raises:
            SiteError: If it asks for one that there is not.
        """
        options = dict(site["infer"].get("baseline") or {})
        _check(site["name"], options)
        if options.get("use_decaying_avg_baseline"):
            cost = cost - self._average(site["name"], cost, options)
        cost = cost - torch.as_tensor(options.get("baseline_value", 0.0)).detach()
        if "nn_baseline" in options:
            learnt = options["nn_baseline"](options["nn_baseline_input"]).reshape(cost.shape)
            self._misfits.append((learnt - cost).square().sum())
            cost = cost - learnt.detach()
        return cost

    def take_misfit(self) -> Tensor | None:
        """Return the squared errors of networks since the last call, None if there are none."""
        misfits, self._misfits = self._misfits, []
        return torch.stack(misfits).sum() if misfits else None

    def _average(self, name: str, cost: Tensor, options: dict[str, Any]) -> Tensor | float:
        """Return the average of the costs before this one, and add this one.

        An evaluation without gradients adds nothing.
        """
        before = self._averages.get(name)
        if not torch.is_grad_enabled():
            return 0.0 if before is None else before
        if is_recording():  # a replay would not move it
            raise CaptureError(f"site {name!r} has a baseline that averages over calls")
        beta, mean = options.get("baseline_beta", 0.9), cost.mean()
        self._averages[name] = mean if before is None else beta * before + (1 - beta) * mean
        return 0.0 if before is None else before


def _check(name: str, options: dict[str, Any]) -> None:
    for option in options:
        if option not in OPTIONS:
            raise SiteError(
                f"site {name!r} has no option {option!r} of a baseline"
                f"{nearest_site(option, OPTIONS)}; there are {', '.join(OPTIONS)}",
                site=name,
            )
    if ("nn_baseline" in options) != ("nn_baseline_input" in options):
        raise SiteError(
            f"site {name!r}: a network baseline needs both nn_baseline and nn_baseline_input",
            site=name,
        )
