"""Real data with a known posterior: the record, and the comparison of draws with the reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.ops.stats import ess_mean, mcse_mean, mcse_sd

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Posterior:
    """A model, the data it is conditioned on, and what is known about the result.

    ``model(**arguments)`` names its sites as the reference does; ``prepare`` makes the arguments
    from the contents of ``data.json``.

    Attributes:
        options: What NUTS has to know of this posterior.
        start: Values of sites at which the chains have to start; elsewhere they start at random.
        num_samples: Draws of each of four chains that tell the means and deviations, after half as
            many for warm-up.
    """

    name: str
    model: Callable[..., Any]
    prepare: Callable[[Mapping[str, Any]], dict[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Tensor] = field(default_factory=dict)
    num_samples: int = 500

    def __str__(self) -> str:
        return self.name

    def _read(self, file: str) -> Any:
        return json.loads((DATA / self.name / file).read_text())

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the model."""
        return self.prepare(self._read("data.json"))

    @cached_property
    def reference(self) -> dict[str, Any]:
        """The summaries by variable."""
        variables: dict[str, Any] = self._read("reference.json")["variables"]
        return variables

    @cached_property
    def log_densities(self) -> list[tuple[dict[str, Tensor], float]]:
        """Pairs of parameters and log density, up to one additive constant."""
        return [
            ({name: tensor(x) for name, x in point["params"].items()}, point["stan_log_density"])
            for point in self._read("log_density.json")["points"]
        ]

    def log_density(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return the log density of the model at constrained parameters, in nats."""
        at_point = poutine.trace(poutine.condition(self.model, data=params))
        return at_point.get_trace(**self.arguments).log_prob_sum()


@dataclass(frozen=True)
class Comparison:
    """One scalar of a posterior against its reference."""

    name: str
    mean: float
    reference_mean: float
    z: float  # difference of the means in Monte-Carlo standard errors of both
    sd_ratio: float
    sd_error: float  # Monte-Carlo standard error of the ratio, of both
    ess: float

    @property
    def agrees(self) -> bool:
        """Whether the mean is within 4 standard errors and the sd within 5 %, or 4 of its own."""
        return abs(self.z) < 4 and abs(self.sd_ratio - 1) < max(0.05, 4 * self.sd_error)

    def __str__(self) -> str:
        return (
            f"{self.name:>12} {self.mean:10.4f} {self.reference_mean:10.4f} {self.z:8.2f} "
            f"{self.sd_ratio:9.3f} {self.ess:8.0f}"
        )


HEADER = f"{'':>12} {'mean':>10} {'reference':>10} {'z':>8} {'sd ratio':>9} {'ESS':>8}"


def compare(samples: Mapping[str, Tensor], reference: Mapping[str, Any]) -> list[Comparison]:
    """Return a comparison for every scalar of the reference.

    Args:
        samples: Draws by variable, shape ``(chain, draw, *event)``.
        reference: Summaries by variable.
    """
    return [
        comparison
        for variable, summary in reference.items()
        for comparison in _compare_variable(variable, samples[variable].double(), summary)
    ]


def _compare_variable(name: str, draws: Tensor, summary: Mapping[str, Any]) -> list[Comparison]:
    known = {
        key: tensor(summary[key]).reshape(-1) for key in ("mean", "sd", "mcse_mean", "mcse_sd")
    }
    draws = draws.reshape(*draws.shape[:2], -1)
    mean, sd = draws.mean((0, 1)), draws.flatten(0, 1).std(0)
    z = (mean - known["mean"]) / (mcse_mean(draws) ** 2 + known["mcse_mean"] ** 2).sqrt()
    sd_error = (mcse_sd(draws) ** 2 + known["mcse_sd"] ** 2).sqrt() / known["sd"]
    columns = [mean, known["mean"], z, sd / known["sd"], sd_error, ess_mean(draws)]
    rows = torch.stack(columns, -1).tolist()
    names = [name] if not summary["shape"] else [f"{name}[{i}]" for i in range(len(rows))]
    return [Comparison(*labelled) for labelled in zip(names, *zip(*rows, strict=True), strict=True)]


def tensor(x: Any) -> Tensor:
    """Return data in double precision."""
    return torch.as_tensor(x, dtype=torch.float64)
