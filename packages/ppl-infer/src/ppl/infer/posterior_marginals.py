"""Posterior marginals of the enumerated sites of a model."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor
from torch.distributions import constraints

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.ops.contract import contract_to_tensor
from ppl.ops.packed import dims_of, unpack

from .backward_sampling import posterior_factors
from .enumerated_sites import Variable, variables_of
from .enumeration import Factor, groups_of, naming, tree_of

Marginals = OrderedDict[str, dist.TorchDistribution]


def posterior_marginals(trace: poutine.Trace, guide_trace: poutine.Trace) -> Marginals:
    """Return the posterior marginal of each enumerated site of a model.

    Args:
        trace: An enumerated execution of the model, scored and packed.
        guide_trace: The execution of the guide, not enumerated, that it was replayed at.

    Returns:
        By site, with the plates of the site as batch dimensions: a Bernoulli or a OneHotCategorical
        where the site is one, else a Categorical over the positions of values in the support.
    """
    variables = variables_of(trace)
    marginals: Marginals = OrderedDict()
    for group in groups_of(posterior_factors(trace, guide_trace, variables)):
        symbols = frozenset().union(*(factor.variables for factor in group))
        for symbol in sorted(symbols):
            variable = variables[symbol]
            logits = _logits(group, symbols, symbol, variable, trace)
            marginals[variable.name] = _distribution(trace.nodes[variable.name]["fn"], logits)
    return OrderedDict((name, marginals[name]) for name in trace.nodes if name in marginals)


def _logits(
    group: list[Factor],
    symbols: frozenset[str],
    symbol: str,
    variable: Variable,
    trace: poutine.Trace,
) -> Tensor:
    """Return the normalized log probabilities of a variable, shape ``(*plates, value)``."""
    with naming(group):
        joint = contract_to_tensor(tree_of(group), symbols, variable.plates, {symbol})
    depth = max((-trace.symbol_to_dim[plate] for plate in variable.plates), default=0)
    dims = {plate: trace.symbol_to_dim[plate] for plate in dims_of(joint).replace(symbol, "")}
    logits: Tensor = unpack(joint, {**dims, symbol: -1 - depth})
    return logits.movedim(0, -1).log_softmax(-1)


def _distribution(fn: Any, logits: Tensor) -> Any:
    support = getattr(fn, "support", None)
    if support is constraints.boolean:
        return dist.Bernoulli(logits=logits[..., 1] - logits[..., 0])
    if support is constraints.one_hot:
        return dist.OneHotCategorical(logits=logits)
    return dist.Categorical(logits=logits)
