"""What a fit returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Reason = Literal["steps", "converged", "interrupted", "batches"]
_ENDINGS = {
    "steps": "took all its steps",
    "converged": "stopped early, converged",
    "interrupted": "was interrupted",
    "batches": "ran out of batches",
}


@dataclass(frozen=True, repr=False)
class FitResult:
    """What a fit has learnt, and how.

    Attributes:
        losses: The loss before each step, in nats, shape ``(step,)``; not finite where the step was
            skipped.
        params: The constrained values of the parameters at the end, by name.
        num_skipped: How many steps were skipped since loss or gradient was not finite.
        reason: Why it ended: ``"steps"`` (all were taken), ``"converged"``, ``"interrupted"`` or
            ``"batches"`` (they ran out).
        seed: What the generators were seeded with before it, if it is one of several.
        restarts: All fits, this one of the least loss among them, if there were several.
    """

    losses: Tensor
    params: dict[str, Tensor]
    num_skipped: int
    reason: Reason
    seed: int | None = None
    restarts: tuple[FitResult, ...] = ()

    @property
    def num_steps(self) -> int:
        """How many steps there were, those of a resumed checkpoint included."""
        return len(self.losses)

    def __repr__(self) -> str:
        finite = self.losses[self.losses.isfinite()]
        recent = f", mean loss of the last {len(finite[-100:])} {finite[-100:].mean():.4g}"
        skipped = f", {self.num_skipped} skipped" if self.num_skipped else ""
        steps = f"{self.num_steps} steps{skipped}, {_ENDINGS[self.reason]}"
        steps = f"best of {len(self.restarts)}, {steps}" if self.restarts else steps
        return f"FitResult({steps}{recent if len(finite) else ''}, {len(self.params)} parameters)"

    def plot(self, ax: Any = None, window: int = 50) -> Any:
        """Draw the losses and their running mean, and return the axes of matplotlib.

        Args:
            ax: Axes to draw into; new ones by default.
            window: The number of steps of the running mean.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plot needs matplotlib; pip install matplotlib") from error
        axes = plt.subplots()[1] if ax is None else ax
        axes.plot(self.losses.numpy(), color="0.75", linewidth=0.8, label="loss")
        if self.num_steps >= window:
            means = self.losses.unfold(0, window, 1).nanmean(-1)
            steps = range(window - 1, self.num_steps)
            axes.plot(steps, means.numpy(), label=f"mean of {window} steps")
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats)")
        axes.legend()
        return axes
