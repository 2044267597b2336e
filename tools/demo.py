"""The main job: two real data sets in, posteriors out, compared with reference posteriors.

1. Wells in Bangladesh (3020 households): logistic regression by variational inference and by NUTS;
   the difference of the NUTS means to a Stan reference in Monte-Carlo standard errors, and a
   picture of both posteriors.
2. Eight schools in two parametrizations, of which the centred one must not be trusted.

``python tools/run.py demo`` runs it in an environment of its own.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import matplotlib
import torch
from tqdm import trange

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.posteriors.eight_schools import CENTERED, NONCENTERED  # noqa: E402
from tests.posteriors.posterior import HEADER, Posterior, compare  # noqa: E402
from tests.posteriors.wells import WELLS  # noqa: E402

import ppl  # noqa: E402
from ppl.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO  # noqa: E402
from ppl.infer.autoguide import AutoNormal  # noqa: E402
from ppl.optim import ClippedAdam  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

PICTURE = ROOT / "build" / "demo" / "wells.png"


def main() -> int:
    """Run all parts; return the exit status, 0 if NUTS agrees with the references."""
    ppl.set_rng_seed(20)
    title("Wells in Bangladesh, by variational inference (AutoNormal)")
    variational = fit_by_svi(WELLS, num_steps=2000)
    title("Wells in Bangladesh, by NUTS (4 chains)")
    wells = sample_by_nuts(WELLS, num_samples=1000)
    agreed = [report_comparison(WELLS, wells)]
    draw_picture(wells.get_samples(), variational, WELLS)

    title("Eight schools, non-centred")
    schools = sample_by_nuts(NONCENTERED, num_samples=1000, target_accept_prob=0.95)
    agreed.append(report_comparison(NONCENTERED, schools))
    title("Eight schools, centred: the same posterior, not to be trusted")
    sample_by_nuts(CENTERED, num_samples=500)
    return 0 if all(agreed) else 1


def title(text: str) -> None:
    """Print an underlined heading."""
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def fit_by_svi(posterior: Posterior, num_steps: int) -> dict[str, torch.Tensor]:
    """Return 4000 draws from a mean-field approximation, shape ``(draw, *event)``."""
    ppl.clear_param_store()
    guide = AutoNormal(posterior.model)
    optimizer = ClippedAdam({"lr": 0.05, "lrd": 0.01 ** (1 / num_steps)})
    svi = SVI(posterior.model, guide, optimizer, Trace_ELBO())
    steps = trange(num_steps, desc="SVI")
    for step in steps:
        loss = svi.step(**posterior.arguments)
        if step % 100 == 0:
            steps.set_postfix_str(f"loss {loss:.1f}")
    draws = Predictive(
        guide, num_samples=4000, return_sites=list(posterior.reference), parallel=True
    )
    samples = draws(**posterior.arguments)
    for name, x in samples.items():
        for label, column in components(name, x).items():
            print(f"{label:>10}  mean {column.mean():8.4f}  sd {column.std():7.4f}")
    return samples


def sample_by_nuts(posterior: Posterior, num_samples: int, target_accept_prob: float = 0.8) -> MCMC:
    """Run four chains and print the summary."""
    kernel = NUTS(posterior.model, target_accept_prob=target_accept_prob)
    mcmc = MCMC(kernel, num_samples=num_samples, warmup_steps=500, num_chains=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the summary says the same
        mcmc.run(**posterior.arguments)
    mcmc.summary()
    return mcmc


def report_comparison(posterior: Posterior, mcmc: MCMC) -> bool:
    """Print each scalar beside its reference; return whether all agree."""
    rows = compare(mcmc.get_samples(group_by_chain=True), posterior.reference)
    print("\n" + "\n".join([HEADER, *map(str, rows)]))
    worst_z = max(abs(row.z) for row in rows)
    worst_sd = max(abs(row.sd_ratio - 1) for row in rows)
    agrees = all(row.agrees for row in rows)
    verdict = "agrees with the reference" if agrees else "DISAGREES with the reference"
    print(
        f"{posterior.name}: {verdict} (largest |z| {worst_z:.2f}, sd within {100 * worst_sd:.1f} %)"
    )
    return agrees


def components(name: str, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Split draws of shape ``(draw, *event)`` into labelled scalars."""
    if x.dim() == 1:
        return {name: x}
    return {f"{name}[{i}]": column for i, column in enumerate(x.flatten(1).unbind(-1))}


def draw_picture(
    nuts: dict[str, torch.Tensor], variational: dict[str, torch.Tensor], posterior: Posterior
) -> None:
    """Draw the marginal posteriors of both methods over each other."""
    labels = {
        "alpha": "intercept",
        "beta[0]": "distance (100 m)",
        "beta[1]": "arsenic",
        "beta[2]": "education (4 years)",
    }
    figure, axes = plt.subplots(1, len(labels), figsize=(13, 3.4), layout="constrained")
    reference_means = {
        label: mean
        for name, summary in posterior.reference.items()
        for label, mean in components(name, torch.as_tensor(summary["mean"])[None]).items()
    }
    for axis, (label, words) in zip(axes, labels.items(), strict=True):
        for method, samples in (("NUTS", nuts), ("SVI, AutoNormal", variational)):
            column = {k: v for name, x in samples.items() for k, v in components(name, x).items()}[
                label
            ]
            axis.hist(column.numpy(), bins=60, density=True, alpha=0.55, label=method)
        axis.axvline(
            reference_means[label].item(), color="black", linewidth=1, label="reference mean"
        )
        axis.set_xlabel(f"{words}, log odds")
        axis.set_yticks([])
    axes[0].legend(frameon=False, fontsize="small")
    figure.suptitle("Who switches to another well: posterior of the coefficients")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=150)
    print(f"picture: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
