"""The picture of a calibration: distribution functions of ranks within their envelopes."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import torch

from ppl.errors import MissingDistributionError, MissingSiteError

from .arguments import nearest_site

if TYPE_CHECKING:
    from .calibration_result import Calibration

MOST_PANELS = 24
COLUMNS = 4


def draw_calibration(calibration: Calibration, sites: str | list[str] | None) -> Any:
    """Return the figure; see :meth:`~ppl.infer.calibration.Calibration.plot`."""
    chosen = _chosen(calibration, sites)
    rows = math.ceil(len(chosen) / COLUMNS)
    columns = min(COLUMNS, len(chosen))
    figure, axes = _pyplot().subplots(
        rows,
        columns,
        figsize=(2.4 * columns + 0.6, 2.1 * rows + 0.5),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    envelope, total = calibration.envelope, calibration.num_sets
    edges = torch.cat([torch.zeros(1), envelope.edges, torch.ones(1)])
    counts = envelope.counts(calibration.numbers)
    low, high = envelope.bounds(1 - calibration.level)
    for panel in axes.flat[len(chosen) :]:
        panel.set_axis_off()
    for number, panel in zip(chosen, axes.flat, strict=False):
        check = calibration.checks[number]
        ends = [_with_ends(x / total) - edges for x in (low, high, counts[number])]
        panel.fill_between(edges, ends[0], ends[1], color="0.85", step=None)
        panel.plot(edges, ends[2], color="tab:blue" if check.passed else "tab:red")
        panel.set_title(check.name + ("" if check.passed else " *"), fontsize="medium")
    figure.supxlabel("rank of the true value, from 0 to 1", fontsize="medium")
    figure.supylabel("ECDF - uniform", fontsize="medium")
    return figure


def _chosen(calibration: Calibration, sites: str | list[str] | None) -> list[int]:
    wanted = [sites] if isinstance(sites, str) else list(sites or calibration.ranks)
    for name in wanted:
        if name not in calibration.ranks:
            raise MissingSiteError(
                f"there are no ranks of a site {name!r}{nearest_site(name, calibration.ranks)}; "
                f"there are those of {sorted(calibration.ranks)}",
                site=name,
            )
    checks = enumerate(calibration.checks)
    found = [i for i, check in checks if check.name.partition("[")[0] in wanted]
    worst = sorted(found, key=lambda i: calibration.checks[i].p_value)[:MOST_PANELS]
    return sorted(worst)


def _with_ends(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x.new_zeros(1), x, x.new_ones(1)]).double()


def _pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ModuleNotFoundError as error:
        raise MissingDistributionError(
            "the picture needs matplotlib: pip install 'ppl-infer[viz]'"
        ) from error
