"""Runs that go on after their process was killed: a folder that keeps their state and draws.

Each batch of chains has a file of its state, which appears whole or not at all, and two files of
its draws, which are mapped into memory: draws go to disk as they come.  A run that goes on draws
again what came after its last state, to the same places and with the same noise: it ends with the
draws of a run that was not interrupted, bit for bit.  Nothing in the files is executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from ppl.errors import FileFormatError, PPLError, warn
from ppl.infer.mcmc.chains.chains import Chains, ChainsEnd
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.transition.noise import StreamState
from ppl.params.files import check_format, read_plain, write_atomically

FORMAT, VERSION = "ppl-mcmc", 1
CURE = "use another folder, or remove it to start anew"
Map = np.memmap[Any, Any]


class Start(NamedTuple):
    """Where chains start."""

    seeds: list[int]
    position: Tensor  # (chain, dim)


@dataclass(frozen=True)
class RunFolder:
    """Keeps the chains of a run.

    Attributes:
        path: The folder.
        every: Transitions between two files of the state of a chain, at least.
    """

    path: Path
    every: int

    def begin(self, run: Mapping[str, Any], execution: str, start: Start) -> Start:
        """Return the start of the run that the folder keeps; a new one has this start.

        Args:
            run: What makes it the same run, as plain values.
            execution: How its potential is evaluated.
            start: Seeds and positions of its chains.

        Raises:
            FileFormatError: If the folder keeps another run, or something else.
        """
        file, name = self.path / "run.start", os.fspath(self.path)
        if not file.exists():
            if self.path.exists() and not (self.path.is_dir() and _is_empty(self.path)):
                raise FileFormatError(
                    f"{name!r} is no checkpoint of MCMC: give an empty folder, or a new one's name"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            _write(file, {"run": dict(run), "execution": execution, "start": list(start)})
        stored = _read(file)
        _refuse_other(name, stored["run"], run)
        if stored["execution"] != execution:
            warn(
                f"the run began {stored['execution']} and goes on {execution}: its draws may "
                "differ from those of a run that was not interrupted"
            )
        seeds, position = stored["start"]
        return Start(seeds, position.to(start.position.device))

    def keep(self, chains: Chains, first: int) -> None:
        """Let chains go on from where they were, and keep them from now on.

        Args:
            chains: Chains at their start.
            first: The number of the first of them.

        Raises:
            FileFormatError: If the files are of another model or of other data.
        """
        chains.after_advance = _Keeper(self.path / f"chain-{first}", self.every, chains)

    def tensor(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor of zeros whose memory is a file of this name."""
        return torch.from_numpy(_map(self.path / name, "w+", shape, like))


class _Keeper:
    """Writes the state of chains now and then; called after each advance.

    Args:
        stem: The files, without their endings.
        every: Transitions between two files of the state, at least.
        chains: Whose draws are mapped to files, and who go on from the state that is there.
    """

    def __init__(self, stem: Path, every: int, chains: Chains) -> None:
        self._stem, self._every, self._chains = stem, every, chains
        self._file = stem.with_suffix(".state")
        self._maps: dict[str, Map] = {}
        record = chains.record
        if record.position.device.type == "cpu" and record.position.numel():
            self._maps = {name: self._mapped(name) for name in ("position", "fields")}
            position, fields = map(torch.from_numpy, self._maps.values())
            chains.record = record._replace(position=position, fields=fields)
        if self._file.exists():
            self._load(_read(self._file))
        self._kept_at = self._iteration

    @property
    def _iteration(self) -> float:
        return float(self._chains.state.iteration.double().mean())

    def __call__(self) -> None:
        if self._iteration - self._kept_at >= self._every or self._chains.done:
            self._write()
            self._kept_at = self._iteration

    def _mapped(self, name: str) -> Map:
        """Return a buffer of draws in its file, with the draws that are there already."""
        like: Tensor = getattr(self._chains.record, name)
        file = self._stem.with_suffix(f".{name}")
        chains, rows, size = like.shape
        kept = file.stat().st_size // (chains * size * like.element_size()) if file.exists() else 0
        if kept > rows:
            raise FileFormatError(
                f"{os.fspath(file)!r} has {kept - 1} draws of each chain, here num_samples is only "
                f"{rows - 1}; {CURE}"
            )
        if 0 < kept < rows:  # the run is to be longer
            longer = file.with_suffix(".longer")
            draws = _map(longer, "w+", like.shape, like)
            draws[:, : kept - 1] = _map(file, "r+", (chains, kept, size), like)[:, :-1]
            draws.flush()
            longer.replace(file)
        return _map(file, "r+" if kept else "w+", like.shape, like)

    def _write(self) -> None:
        chains = self._chains
        for draws in self._maps.values():
            draws.flush()
        contents = {
            "run": _settings_of(chains.sampler),
            "state": [leaf.contiguous() for leaf in tree_flatten(chains.state)[0]],
            "stream": list(chains.stream.state()),
            "divergences": list(chains.record.divergences),
        }
        if not self._maps:
            contents["draws"] = list(chains.record[:2])
        _write(self._file, contents)

    def _load(self, contents: Mapping[str, Any]) -> None:
        name, chains = os.fspath(self._file), self._chains
        _refuse_other(name, contents["run"], _settings_of(chains.sampler))
        leaves, spec = tree_flatten(chains.state)
        stored = [x.to(leaves[0].device) for x in contents["state"]]
        if [(x.shape, x.dtype) for x in leaves] != [(x.shape, x.dtype) for x in stored]:
            raise FileFormatError(f"{name!r} is the state of another model; {CURE}")
        try:
            chains.go_on(ChainsEnd(tree_unflatten(stored, spec), StreamState(*contents["stream"])))
        except PPLError as error:
            raise FileFormatError(f"{name!r} is of another run: {error}; {CURE}") from error
        position, fields = contents.get("draws", chains.record[:2])
        divergences = Divergences(*contents["divergences"])
        chains.record = chains.record._replace(
            position=position, fields=fields, divergences=divergences
        )


def _settings_of(sampler: Sampler) -> dict[str, Any]:
    """Return the numbers that decide what a sampler does, by name."""
    machine = sampler.machine
    settings = {**vars(sampler.warmup), **getattr(machine, "native_settings", {})}
    plain = {n: x for n, x in settings.items() if isinstance(x, (bool, int, float, str))}
    return {"transition": type(machine).__qualname__, **plain}


def _is_empty(folder: Path) -> bool:
    """Return whether nothing is in a folder but what was being written."""
    return all(file.name.startswith(".") for file in folder.iterdir())


def _map(file: Path, mode: Any, shape: Sequence[int], like: Tensor) -> Map:
    kind = torch.empty((), dtype=like.dtype).numpy().dtype
    return np.memmap(file, kind, mode, shape=tuple(shape))


def _write(file: Path, contents: Mapping[str, Any]) -> None:
    write_atomically({"format": FORMAT, "version": VERSION, **contents}, file)


def _read(file: Path) -> Mapping[str, Any]:
    contents = read_plain(file)
    check_format(contents, file, FORMAT, VERSION, f"no file of a run of MCMC; {CURE}", CURE)
    found: Mapping[str, Any] = contents
    return found


def _refuse_other(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse a run that is another one: name the first thing that differs."""
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            raise FileFormatError(
                f"{name!r} is the checkpoint of another run: its {key} is {there.get(key)!r}, here "
                f"it is {here.get(key)!r}; {CURE}"
            )
