"""The parts of a log density that a stochastic gradient estimator needs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .util import scale_and_mask


class ScoreParts(NamedTuple):
    """Log density of a value, its score-function part and its entropy part.

    A gradient estimator of an ELBO adds ``grad(score_function)`` times the downstream cost and
    ``grad(entropy_term)`` to the pathwise gradient (Naesseth et al. 2017, equation 5): a fully
    reparameterized value has no score function, a value that is not reparameterized has no
    entropy term (its expected score is zero).

    Attributes:
        log_prob: Log density in nats, shape ``(*sample, *batch)``.
        score_function: Tensor that broadcasts with ``log_prob``, or the number 0.
        entropy_term: Tensor that broadcasts with ``log_prob``, or the number 0.
    """

    log_prob: Tensor
    score_function: Tensor | float
    entropy_term: Tensor | float

    def scale_and_mask(
        self, scale: Tensor | float = 1.0, mask: Tensor | bool | None = None
    ) -> ScoreParts:
        """Return the parts of a site whose density is scaled and masked.

        The score function keeps its scale: it multiplies costs which are scaled already.
        """
        return ScoreParts(
            scale_and_mask(self.log_prob, scale, mask),
            self.score_function,
            scale_and_mask(self.entropy_term, scale, mask),
        )
