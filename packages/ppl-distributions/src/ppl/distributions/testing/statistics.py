"""Tests of hypotheses with a stated false-alarm rate, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

FALSE_ALARM = 1e-6  # chance that one call rejects draws that are right


def assert_zero_mean(terms: Tensor, what: str) -> None:
    """Fail unless the rows of ``terms`` average to zero within their standard error.

    Args:
        terms: Independent and identical draws along the first dimension; the components are
            tested together with a Bonferroni correction.
        what: Named in the message.
    """
    terms = terms.reshape(terms.shape[0], -1)
    mean, error = terms.mean(0), terms.std(0) / terms.shape[0] ** 0.5
    noise = 1e-9 * (1 + terms.abs().mean(0))  # rounding, for components that vanish identically
    score = mean / torch.maximum(error, noise)
    limit = -torch.special.ndtri(torch.tensor(FALSE_ALARM / (2 * score.numel())).double())
    worst = score.abs().max()
    assert worst < limit, f"{what}: {worst:.1f} standard errors from zero, expected < {limit:.1f}"


def assert_frequencies(counts: Tensor, probs: Tensor, what: str) -> None:
    """Fail unless ``counts`` fit the probabilities ``probs``, by Pearson's chi-squared test.

    Args:
        counts: Occurrences of each cell, shape ``(cell,)``.
        probs: Probabilities of the cells; what they lack to 1 is the probability of "elsewhere".
        what: Named in the message.
    """
    total = counts.sum()
    expected = total * probs
    kept = expected >= 5
    cells = torch.cat([counts[kept], (total - counts[kept].sum()).reshape(1)])
    expected = torch.cat([expected[kept], (total - expected[kept].sum()).reshape(1)])
    usable = expected >= 1
    cells, expected = cells[usable], expected[usable]
    assert len(cells) > 1, f"{what}: too few draws for a test"
    chi2 = ((cells - expected) ** 2 / expected).sum()
    p_value = torch.special.gammaincc(torch.tensor((len(cells) - 1) / 2).double(), chi2 / 2)
    found = f"chi-squared {chi2:.1f} on {len(cells)} cells"
    assert p_value > FALSE_ALARM, f"{what}: {found}, p {p_value:.1e}"
