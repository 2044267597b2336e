"""The sampler's leapfrogs in C++, around a potential that is evaluated for all chains at once.

The C++ in ``cpp/`` does what `machine`, `integrator`, `tree`, `nuts`, `hmc_transition` and the
running averages of `adaptation` do, chain by chain and in place: a tensor program has to test all
levels of a tree where a chain needs one, and takes ten times as long.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_double, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from ppl.engine import cpp_library
from ppl.engine.replay import HEADERS
from ppl.infer.mcmc.chains.sampler import Sampler, State
from ppl.infer.mcmc.transition.machine import CPP, NativeTransition
from ppl.infer.mcmc.transition.noise import Steps
from ppl.infer.mcmc.transition.step_records import FIELDS, StepRecords
from ppl.ops.dual_averaging import KAPPA, T0

DTYPES = {torch.float32: "float", torch.float64: "double"}


class Settings(ctypes.Structure):
    """The struct of the same name in ``cpp/records.hpp``."""

    _fields_ = [
        ("chains", c_int64),
        ("dim", c_int64),
        ("dense", c_int64),
        ("num_warmup", c_int64),
        ("adapts_until", c_int64),
        ("target_accept_prob", c_double),
        ("t0", c_double),
        ("kappa", c_double),
        ("min_step", c_double),
        ("max_step", c_double),
        ("window_start", c_int64),
        ("window_end", c_int64),
        ("learns_gradients", c_int64),
        ("follows_draws", c_int64),
        ("few", c_int64),
        ("num_switches", c_int64),
        ("switches", c_void_p),
        ("max_tree_depth", c_int64),
        ("multinomial", c_int64),
        ("trajectory_length", c_double),
        ("num_stops", c_int64),
        ("pause_iterations", c_void_p),
    ]


class NativeStride:
    """A sampler's stride for chains on the CPU.

    Args:
        sampler: Whose stride it is, of a `NativeTransition`.
        position: Positions such as the chains', shape ``(chain, dim)``.

    Raises:
        OSError: If the C++ cannot be compiled.
    """

    def __init__(self, sampler: Sampler, position: Tensor) -> None:
        machine = sampler.machine
        assert isinstance(machine, NativeTransition)
        self._library = cpp_library.load(machine.native_source, CPP, HEADERS)
        self._name = f"{machine.native_name}_{DTYPES[position.dtype]}"
        self._begin, self._complete = self.function("begin"), self.function("complete")
        self._complete.argtypes = [*[c_void_p] * 5, c_int64, c_bool, *[c_void_p] * 5]
        # C++ holds their addresses
        self._stops = torch.tensor(sampler.pause_iterations)
        self._switches = torch.tensor(sampler.warmup.switches, dtype=torch.long)
        self._settings = _settings(sampler, position, self._stops, self._switches)
        self.settings: int = ctypes.addressof(self._settings)
        self._potential_and_grad = sampler.machine.potential_and_grad

    def function(self, name: str) -> Any:
        """Return a function of the library, for this machine and precision."""
        return self._library[f"{self._name}_{name}"]

    def __call__(self, state: State, steps: Steps) -> tuple[State, StepRecords]:
        """Return the state after the steps, one leapfrog each, and the records."""
        state, states = held(state)
        edge, seeds = state.machine.edge.position, steps.seeds.data_ptr()
        first = int(steps.first)
        records = _empty_records(edge, steps.number)
        settings = c_void_p(self.settings)
        self._begin(states, settings)
        for row, to in enumerate(zip(*map(_row_addresses, records), strict=True)):
            found = [x.contiguous() for x in self._potential_and_grad(edge)]
            addresses = [x.data_ptr() for x in found]
            goes_on = row + 1 < steps.number
            self._complete(states, settings, *addresses, seeds, first + row, goes_on, *to)
        return state, records


def held(state: State) -> tuple[State, Any]:
    """Return a copy of a state that C++ may change, and the addresses of its tensors."""
    leaves, spec = tree_flatten(state)
    leaves = [leaf.clone(memory_format=torch.contiguous_format) for leaf in leaves]
    addresses = (c_void_p * len(leaves))(*[leaf.data_ptr() for leaf in leaves])
    return tree_unflatten(leaves, spec), addresses


def _settings(
    sampler: Sampler, position: Tensor, pause_iterations: Tensor, switches: Tensor
) -> Settings:
    warmup, machine = sampler.warmup, sampler.machine
    assert isinstance(machine, NativeTransition)
    chains, dim = position.shape
    min_step, max_step = warmup.step_bounds
    return Settings(
        chains=chains,
        dim=dim,
        dense=warmup.full_mass,
        num_warmup=warmup.num_steps,
        adapts_until=warmup.pools_from if warmup.adapt_step_size else 0,
        target_accept_prob=warmup.target_accept_prob,
        t0=T0,
        kappa=KAPPA,
        min_step=min_step,
        max_step=max_step,
        window_start=warmup.window_start,
        window_end=max(warmup.window_ends, default=0),
        learns_gradients=warmup.learns_gradients,
        follows_draws=warmup.follows_draws,
        few=warmup.few,
        num_switches=len(switches),
        switches=switches.data_ptr(),
        num_stops=len(pause_iterations),
        pause_iterations=pause_iterations.data_ptr(),
        **machine.native_settings,
    )


def _empty_records(position: Tensor, num_steps: int) -> StepRecords:
    """Return records with a row for each step of chains at positions ``(chain, dim)``."""
    rows = (num_steps, len(position))
    return StepRecords(
        position.new_empty(rows, dtype=torch.bool),
        position.new_empty(rows, dtype=torch.long),
        position.new_empty((num_steps, *position.shape)),
        position.new_empty((*rows, len(FIELDS))),
        position.new_empty((num_steps, *position.shape)),
    )


def _row_addresses(rows: Tensor) -> range:
    """Return the addresses of the rows of a contiguous tensor."""
    first, row = rows.data_ptr(), rows.stride(0) * rows.element_size()
    return range(first, first + row * len(rows), row)
