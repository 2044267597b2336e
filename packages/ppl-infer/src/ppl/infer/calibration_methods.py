"""Ways to a posterior that can be checked by simulation, by the names of their methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import ppl.plugins as plugins
from ppl.errors import ArgumentError, ArgumentTypeError
from ppl.poutine import condition
from ppl.primitives import param_store

from .importance import Importance
from .predictive import Predictive
from .smc import SMC
from .trace_batch import TraceBatch, values_in
from .trace_posterior import TracePosterior

Program = Callable[[], Any]
Values = dict[str, Tensor]
DrawsOf = Callable[..., Values]
"""Maps a program whose data are observed, and a number, to so many draws of its latent sites."""


@dataclass(frozen=True)
class CalibrationMethod:
    """A way to a posterior.

    Attributes:
        name: What it is called in messages.
        one: Called with a program, data by site and a seed, as a method of the user's is; returns
            draws by latent site, each of shape ``(draw, *site)``.
        many: Called with a program, data of many data sets, their number and whether to show no
            progress; returns draws of all of them, ``(data set, draw, *site)``.  None if there is
            no way to do all at once.
    """

    name: str
    one: Callable[[Program, Values, int], Values]
    many: Callable[[Program, Values, int, bool], Values] | None = None


def find_method(method: Any, num_draws: int, options: Mapping[str, Any]) -> CalibrationMethod:
    """Return the method of a name, with its options, or that which a function of the user's is.

    Raises:
        ArgumentError: If there is no method of the name, or options are given to a function.
    """
    if isinstance(method, str):
        return _named(method, num_draws, dict(options))
    if not callable(method):
        raise ArgumentTypeError(
            f"method must be one of {sorted(METHODS)}, or a function of (program, data, seed) that "
            f"returns draws by site, got {method!r}"
        )
    if options:
        raise ArgumentError(
            f"options are for a method given by name, got {sorted(options)}: let the function have "
            "them"
        )
    return CalibrationMethod(getattr(method, "__name__", repr(method)), method)


def _named(name: str, num_draws: int, options: dict[str, Any]) -> CalibrationMethod:
    if name not in METHODS:
        hint = plugins.nearest(name, sorted(METHODS))
        raise ArgumentError(f"method must be one of {sorted(METHODS)}, got {name!r}{hint}")
    return METHODS[name](name, num_draws, options)


def _by_mcmc(name: str, num_draws: int, options: dict[str, Any]) -> CalibrationMethod:
    kernel = plugins.load("ppl.infer", name.upper(), provider="ppl-infer-mcmc")
    many_data: Any = plugins.load_module("ppl.infer.mcmc.many_data", "ppl-infer-mcmc")
    own = {"num_draws": num_draws, **options}

    def one(program: Program, data: Values, seed: int) -> Values:
        return many_data.draws_alone(kernel, _fixed(program, data), **own)  # type: ignore[no-any-return]

    return CalibrationMethod(name, one, partial(many_data.draws_together, kernel, **own))


def _by_draws(
    draws_of: DrawsOf, name: str, num_draws: int, options: dict[str, Any]
) -> CalibrationMethod:
    """Return the method that makes draws of one data set after another."""

    def one(program: Program, data: Values, seed: int) -> Values:
        with param_store():
            return draws_of(_fixed(program, data), num_draws, **options)

    return CalibrationMethod(name, one)


def _fixed(program: Program, data: Values) -> Program:
    fixed: Program = condition(program, data=data)
    return fixed


def importance_draws(
    program: Program, num_draws: int, guide: Program | None = None, num_samples: int = 5000
) -> Values:
    """Return draws of the prior, or of a guide, resampled by their weights."""
    return _resampled(Importance(program, guide, num_samples).run(), num_draws)


def smc_draws(program: Program, num_draws: int, **options: Any) -> Values:
    """Return particles of SMC, resampled by their weights; `options` are its arguments."""
    return _resampled(SMC(program, **options).run(), num_draws)


def _resampled(posterior: TracePosterior, num_draws: int) -> Values:
    log_weights = torch.stack([torch.as_tensor(x) for x in posterior.log_weights])
    chosen = torch.multinomial(log_weights.double().softmax(0), num_draws, replacement=True)
    traces: Any = posterior.exec_traces
    if isinstance(traces, TraceBatch):
        return {name: x[chosen] for name, x in traces.values.items() if name != "_RETURN"}
    rows = [values_in(traces[i]) for i in chosen.tolist()]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0] if name != "_RETURN"}


def svi_draws(
    program: Program,
    num_draws: int,
    guide: Any = "AutoNormal",
    num_steps: int = 1000,
    lr: float = 0.02,
) -> Values:
    """Return draws of a guide that was fitted by SVI.

    Args:
        program: The program.
        num_draws: How many draws.
        guide: The name of an automatic guide, or a function that makes a guide of a program.
        num_steps: How many steps.
        lr: The learning rate of Adam, which falls to a tenth.
    """
    fitted = _fit(program, _guide_class(guide)(program), num_steps, lr)
    return _draws_of_guide(fitted, num_draws)


def laplace_draws(program: Program, num_draws: int, num_steps: int = 200) -> Values:
    """Return draws of the normal at the mode, on the unconstrained scale.

    Args:
        program: The program.
        num_draws: How many draws.
        num_steps: How many steps of the quasi-Newton method L-BFGS look for the mode.
    """
    guide = _guide_class("AutoLaplaceApproximation")(program)
    elbo: Any = plugins.load("ppl.elbos", "Trace_ELBO", provider="ppl-infer-svi")
    guide()  # makes the parameters
    optimizer = torch.optim.LBFGS(
        guide.parameters(), max_iter=num_steps, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = elbo().differentiable_loss(program, guide)
        value.backward()
        return value

    optimizer.step(loss)
    return _draws_of_guide(guide.laplace_approximation(), num_draws)


def _guide_class(guide: Any) -> Any:
    if isinstance(guide, str):
        return plugins.load("ppl.guides", guide, provider="ppl-autoguide")
    return guide


def _fit(program: Program, guide: Any, num_steps: int, lr: float) -> Any:
    svi: Any = plugins.load("ppl.infer", "SVI", provider="ppl-infer-svi")
    adam: Any = plugins.load("ppl.optimizers", "ClippedAdam", provider="ppl-optim")
    steps = svi(program, guide, adam({"lr": lr, "lrd": 0.1 ** (1 / num_steps)}), "Trace_ELBO")
    for _ in range(num_steps):
        steps.step()
    return guide


def _draws_of_guide(guide: Any, num_draws: int) -> Values:
    draws: Values = Predictive(guide, num_samples=num_draws, return_sites=None, parallel=True)()
    return draws


METHODS: dict[str, Callable[[str, int, dict[str, Any]], CalibrationMethod]] = {
    "hmc": _by_mcmc,
    "importance": partial(_by_draws, importance_draws),
    "laplace": partial(_by_draws, laplace_draws),
    "nuts": _by_mcmc,
    "smc": partial(_by_draws, smc_draws),
    "svi": partial(_by_draws, svi_draws),
}
