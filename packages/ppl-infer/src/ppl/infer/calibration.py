"""Simulation-based calibration: is a method right about parameters that are known?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import MissingSiteError, ShapeError, SiteError, warn
from ppl.poutine.program_errors import require_program
from ppl.randomness import seeded
from ppl.validation import validation_enabled

from .arguments import positive_int
from .calibration_methods import CalibrationMethod, find_method
from .calibration_result import LIKELIHOOD, rank_of
from .calibration_result import Calibration as Calibration
from .calibration_result import RankCheck as RankCheck
from .simulated_data import Program, Simulator

Values = dict[str, Tensor]
Method = Callable[[Program, Values, int], Mapping[str, Tensor]]
DATA_FAILURES = (ValueError, RuntimeError, ArithmeticError)


def calibrate(
    model: Callable[..., Any],
    method: str | Method = "nuts",
    n: int = 200,
    *args: Any,
    num_draws: int = 99,
    posterior: bool = False,
    observed: Sequence[str] = (),
    options: Mapping[str, Any] = {},
    prob: float = 0.95,
    seed: int = 0,
    disable_progbar: bool = False,
    **kwargs: Any,
) -> Calibration:
    """Check a method of inference on data that the model itself makes.

    Parameters are drawn from the prior and data given these, `n` times. The method is given the
    data. If its posteriors are right, the rank of a true value among its draws is uniform, whatever
    the model: the true value is one more draw. So is that of the log likelihood, which sees a
    method that ignores the data and returns the prior. Draws that follow each other, such as those
    of a chain that mixes slowly, make right posteriors look too narrow; that is told apart.

    With ``posterior=True`` the check is about this data set: parameters are drawn from its
    posterior instead of the prior, by the method itself; new data given these; and the method is
    given both the data and the new data.

    "nuts" and "hmc" run one chain for each data set, all as one batch. Other methods, and models
    that branch on their data, run one data set after another.

    Args:
        model: The model. The values at its observed sites are replaced by simulated ones.
        method: "hmc", "importance", "laplace", "nuts", "smc" or "svi"; or a function of a program
            without arguments, the data by site and a seed, which returns draws by latent site of
            shape ``(draw, *site)``: its posterior is that of ``condition(program, data=data)``.
        n: How many data sets; hundreds show a width that is 0.8 of what it should be.
        args: The arguments of the model, such as data of the right shapes.
        num_draws: How many draws a method that is given by name makes for each data set.
        posterior: Whether to check for data like those that are observed now.
        observed: Names of sites to simulate beside those that are observed.
        options: Of a method that is given by name: arguments of the kernel, ``warmup_steps`` (300)
            and ``thinning`` (4) of "nuts" and "hmc"; ``guide``, ``num_steps`` and ``lr`` of "svi";
            ``num_steps`` of "laplace"; ``guide`` and ``num_samples`` of "importance"; the arguments
            of :class:`~ppl.infer.SMC`.
        prob: The probability that a method that is right in everything passes.
        seed: Of all that is drawn. The generators are left as they were.
        disable_progbar: Show no progress.
        kwargs: Keyword arguments of the model.

    Raises:
        SiteError: If no site is observed or none is latent.
        UnsupportedModelError: If the data cannot be drawn from the density of the model, such as
            that of a factor statement or a scaled site.
        ArgumentError: If there is no method of the name.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model(x):
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0), obs=x)
        >>> def exact(program, data, seed):
        ...     return {"z": dist.Normal(data["x"] / 2, 0.5**0.5).sample((99,))}
        >>> def narrow(program, data, seed):
        ...     return {"z": dist.Normal(data["x"] / 2, 0.5).sample((99,))}
        >>> x = torch.tensor(0.0)
        >>> calibrate(model, exact, 200, x, disable_progbar=True).passed
        True
        >>> print(calibrate(model, narrow, 200, x, disable_progbar=True).checks[0].finding)
        z: the posterior is too narrow

    References:
        Talts et al. 2018, "Validating Bayesian inference algorithms with simulation-based
        calibration"; Modrák et al. 2023, "Simulation-based calibration checking for Bayesian
        computation: the choice of test quantities shapes sensitivity"; Säilynoja et al. 2025,
        "Posterior SBC: simulation-based calibration checking conditional on data".
    """
    require_program("model", model)
    n, num_draws = positive_int("n", n, at_least=2), positive_int("num_draws", num_draws)
    if not 0 < prob < 1:
        raise SiteError(f"prob must lie in (0, 1), got {prob!r}")
    program = functools.partial(model, *args, **kwargs)
    found = find_method(method, num_draws, options)
    with poutine.block(), seeded(seed):
        simulator = Simulator.of(program, observed)
        if posterior:
            simulator, truth = _given_data(simulator, program, found, n, disable_progbar)
            data = simulator.draw_data(truth)
        else:
            truth, data = simulator.draw(n)
        draws, failures = _all_draws(simulator, found, data, n, disable_progbar)
        truth, data = ({k: _without(x, failures) for k, x in v.items()} for v in (truth, data))
        draws = {name: _of_shape(name, draws[name], truth[name]) for name in truth if name in draws}
        if not draws:
            raise MissingSiteError(
                f"{found.name} returns no draws of the latent sites {sorted(truth)}"
            )
        ranks = {name: rank_of(truth[name], x) for name, x in draws.items()}
        if len(draws) == len(truth) and LIKELIHOOD not in ranks:
            ranks |= _likelihood_ranks(simulator, truth, draws, data)
    return Calibration(found.name, ranks, draws, failures, prob)


def _given_data(
    simulator: Simulator, program: Program, method: CalibrationMethod, n: int, is_silent: bool
) -> tuple[Simulator, Values]:
    """Return the simulator of further data, and parameters from the posterior given the data."""
    data = simulator.observed(program)
    fixed = simulator.fixed(data)
    if method.many is not None:
        try:
            draws = method.many(fixed, {}, n, is_silent)
            truth = {name: x[:, -1] for name, x in draws.items()}
        except DATA_FAILURES as error:
            warn(f"{method.name} runs one chain after another: {_brief(error)}")
            truth = _pooled(method, fixed, n)
    else:
        truth = _pooled(method, fixed, n)
    missing = sorted({*simulator.latent} - truth.keys())
    if missing:
        raise MissingSiteError(
            f"{method.name} returns no draws of the latent sites {missing}, but data can only be "
            "simulated given all of them; leave posterior=True out"
        )
    return simulator.continued(data), {name: truth[name] for name in simulator.latent}


def _pooled(method: CalibrationMethod, fixed: Program, n: int) -> Values:
    """Return `n` draws of a posterior, from as many runs as it takes."""
    parts: list[Mapping[str, Tensor]] = []
    while sum(len(next(iter(part.values()))) for part in parts) < n:
        parts.append(_seeded_run(method, fixed, {}))
    pooled = {name: torch.cat([torch.as_tensor(part[name]) for part in parts]) for name in parts[0]}
    return {name: x[torch.linspace(0, len(x) - 1, n).long()] for name, x in pooled.items()}


def _all_draws(
    simulator: Simulator, method: CalibrationMethod, data: Values, n: int, is_silent: bool
) -> tuple[Values, dict[int, str]]:
    """Return draws for all data sets, ``(data set, draw, *site)``, and why some have none."""
    if method.many is not None:
        try:
            return method.many(simulator.program, data, n, is_silent), {}
        except DATA_FAILURES as error:  # one of the model itself comes again
            warn(f"{method.name} runs one data set after another: {_brief(error)}")
    from tqdm.auto import tqdm  # which takes a while to import

    rows: list[Mapping[str, Tensor]] = []
    failures: dict[int, str] = {}
    for i in tqdm(range(n), desc=f"Calibrating {method.name}", disable=is_silent):
        try:
            rows.append(_seeded_run(method, simulator.program, {k: x[i] for k, x in data.items()}))
        except DATA_FAILURES as error:
            failures[i] = _brief(error)
            if len(failures) == i + 1 == min(n, 10):  # it is not about the data
                raise
    return _stacked(method.name, rows), failures


def _seeded_run(method: CalibrationMethod, program: Program, data: Values) -> Mapping[str, Tensor]:
    seed = int(torch.randint(2**31, ()))
    with seeded(seed):
        draws = method.one(program, data, seed)
    if not isinstance(draws, Mapping):
        raise TypeError(f"{method.name} must return a dict of draws by site, got {draws!r}")
    return draws


def _stacked(name: str, rows: Sequence[Mapping[str, Tensor]]) -> Values:
    shapes = [{site: tuple(torch.as_tensor(x).shape) for site, x in row.items()} for row in rows]
    for other in shapes[1:]:
        if other != shapes[0]:
            raise ShapeError(
                f"{name} returns draws of the shapes {shapes[0]} for one data set and {other} for "
                "another; return as many of each site for all"
            )
    return {site: torch.stack([torch.as_tensor(row[site]) for row in rows]) for site in rows[0]}


def _of_shape(name: str, draws: Tensor, truth: Tensor) -> Tensor:
    """Return draws of a site in its shape: they may have more dimensions of size one."""
    wanted = (*draws.shape[:2], *truth.shape[1:])
    if draws.dim() < 2 or draws[0, 0].numel() != truth[0].numel():
        raise ShapeError(
            f"site {name!r}: its draws have shape {tuple(draws.shape[1:])}, but (draw, *site) with "
            f"a site of shape {tuple(truth.shape[1:])} is needed"
        )
    return draws.detach().reshape(wanted)


def _likelihood_ranks(
    simulator: Simulator, truth: Values, draws: Values, data: Values
) -> dict[str, Tensor]:
    everything = {name: torch.cat([truth[name][:, None], x], 1) for name, x in draws.items()}
    try:
        with validation_enabled(False):
            found = simulator.log_likelihoods(everything, data)
    except Exception as error:  # the other ranks do not need it
        warn(f"the log likelihood is left out of the calibration: {_brief(error)}")
        return {}
    return {LIKELIHOOD: rank_of(found[:, 0], found[:, 1:])}


def _without(x: Tensor, failures: Mapping[int, str]) -> Tensor:
    return x[[i for i in range(len(x)) if i not in failures]] if failures else x


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
