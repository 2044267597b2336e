"""Chains in processes of their own, with one progress bar for all."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

import torch

from ppl import settings
from ppl.engine.threads import limit
from ppl.errors import ArgumentError, PPLError
from ppl.infer.mcmc.driver.progress import RemoteBar, bars_made_by, progress_bar
from ppl.infer.mcmc.portable import strict_pickles
from ppl.primitives import get_param_store
from ppl.randomness import get_rng_state, set_rng_state

StartMethod = Literal["fork", "spawn", "forkserver"]
Task = Callable[[int], Any]
Keep = Callable[[list[Any], BaseException], list[Any]]
GRACE = 30.0  # seconds that an interrupted chain has to send what it has drawn


class ChainError(PPLError, RuntimeError):
    """A chain failed in its process; the message has the traceback there."""


@dataclass
class Chain:
    """A chain under way in a process."""

    number: int
    process: Any
    connection: Connection
    num_done: int = 0


@dataclass
class Environment:
    """The global state that a process needs to do what this one would do."""

    rng: dict[str, Any] = field(default_factory=get_rng_state)
    dtype: torch.dtype = field(default_factory=torch.get_default_dtype)
    holders: list[str] = field(default_factory=settings.holders)
    settings: dict[str, Any] = field(default_factory=settings.get)
    params: Any = field(default_factory=lambda: get_param_store().get_state())

    def restore(self) -> None:
        """Make it the state of this process."""
        limit(1)
        torch.set_default_dtype(self.dtype)
        for holder in self.holders:
            importlib.import_module(holder)
        settings.set(**self.settings)
        get_param_store().set_state(self.params)
        set_rng_state(self.rng)


def keep_nothing(results: list[Any], error: BaseException) -> list[Any]:
    """Raise what ended the chains early."""
    raise error


def run_in_processes(
    task: Task,
    num_chains: int,
    num_iterations: int,
    mp_context: StartMethod | None = None,
    disable_progbar: bool = False,
    keep: Keep = keep_nothing,
    environment: Environment | None = None,
) -> list[Any]:
    """Return ``[task(0), task(1), ...]``, each computed in a process of its own.

    There are as many processes at a time as processors, each with one thread of torch, the state of
    the random number generators of this one, its default dtype, settings and parameters.  However
    this ends, no process is left.  After an interrupt or the failure of one, the tasks of the
    others are interrupted, and may still return something.

    Args:
        task: What a chain does; its progress bar is a part of the one that is shown here.
        num_chains: The number of chains.
        num_iterations: What the bar counts for each chain.
        mp_context: How processes begin; by default they are forked where that is safe, which needs
            no pickling of the task.
        disable_progbar: Show no progress.
        keep: What to return of an early end, given the results that there are and its exception.
        environment: That of the processes; the present one by default.

    Raises:
        Exception: What a chain raised, caused by a :class:`ChainError` with its traceback.
        ChainError: If a process died, or its exception cannot be sent.
        ArgumentError: If the task is to be pickled and cannot be.
    """
    context = multiprocessing.get_context(mp_context or default_start_method())
    environment, waiting = environment or Environment(), list(range(num_chains))
    running: list[Chain] = []
    results: dict[int, Any] = {}
    with progress_bar(num_chains * num_iterations, disable_progbar) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < _num_processors():
                    _start(context, environment, task, waiting.pop(0), running)
                for chain in _ready(running):
                    if _receive(chain, results, bar):
                        running.remove(chain)
        except BaseException as error:
            _interrupt(running, results, bar)
            return keep([results[number] for number in sorted(results)], error)
        finally:
            for chain in running:
                if chain.process.pid is not None:  # it was started before it all ended
                    chain.process.kill()
                    chain.process.join()
    return [results[number] for number in range(num_chains)]


def _interrupt(running: list[Chain], results: dict[int, Any], bar: Any) -> None:
    """Interrupt processes, and take what they send before they end or their grace has run out."""
    running[:] = [chain for chain in running if chain.process.is_alive()]
    for chain in running:
        chain.process.terminate()
    end = time.monotonic() + GRACE
    while running and (left := end - time.monotonic()) > 0:
        for chain in _ready(running, left):
            try:
                is_over = _receive(chain, results, bar)
            except (Exception, KeyboardInterrupt):  # of the chain: it had nothing to keep
                is_over = True
            if is_over:
                running.remove(chain)


def default_start_method() -> StartMethod:
    """Return "fork" on Linux while CUDA is not in use, else "spawn"."""
    is_safe = os.uname().sysname == "Linux" if hasattr(os, "uname") else False
    return "fork" if is_safe and not torch.cuda.is_initialized() else "spawn"


def _num_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(
    context: Any, environment: Environment, task: Task, number: int, running: list[Chain]
) -> None:
    """Start a process, which is among those that run before it does: an interrupt may come."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, environment, task, number), daemon=True)
    running.append(Chain(number, process, here))
    try:
        with strict_pickles():
            process.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"the kernel, model or arguments cannot be sent to another process: {error}; define "
            "them at the top level of a module, or pass mp_context='fork'"
        ) from error
    there.close()


def _ready(running: list[Chain], timeout: float | None = None) -> list[Chain]:
    """Wait until some of the processes say something or end, and return their chains."""
    watched = [thing for chain in running for thing in (chain.connection, chain.process.sentinel)]
    ready = wait(watched, timeout)
    return [c for c in running if c.connection in ready or c.process.sentinel in ready]


def _receive(chain: Chain, results: dict[int, Any], bar: Any) -> bool:
    """Take one message of a chain; return whether it was the last."""
    kind: str = "death"
    content: Any = None
    with suppress(EOFError):
        if chain.connection.poll():
            kind, content = chain.connection.recv()
    if kind == "progress":
        bar.set_description(f"{content[0]} [{chain.number + 1}]", refresh=False)
        bar.update(content[1] - chain.num_done)
        chain.num_done = content[1]
        return False
    chain.process.join()
    if kind == "result":
        results[chain.number] = pickle.loads(content)
        return True
    raise _error(chain, content)


def _error(chain: Chain, content: tuple[bytes | None, str] | None) -> Exception:
    if content is None:
        return ChainError(
            f"the process of chain {chain.number} ended with exit code {chain.process.exitcode}; "
            "perhaps it was killed for want of memory"
        )
    pickled, text = content
    cause = ChainError(f"chain {chain.number} failed in its process:\n{text}")
    if pickled is None:
        return cause
    error: Exception = pickle.loads(pickled)
    error.__cause__ = cause
    return error


# in the process of a chain


def _work(connection: Connection, environment: Environment, task: Task, number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends all processes
    signal.signal(signal.SIGTERM, _stop)
    environment.restore()
    try:
        with bars_made_by(lambda total: RemoteBar(connection)):
            result = task(number)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends anyway
        message: Any = ("result", pickle.dumps(result))
    except BaseException as error:
        message = ("error", (_pickled(error), traceback.format_exc()))
    connection.send(message)
    connection.close()


def _stop(signal_number: int, frame: Any) -> None:
    """Interrupt the task, once: what it has drawn is to be sent."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _pickled(error: BaseException) -> bytes | None:
    """Return an error in bytes, None if these could not be read."""
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:
        return None
    return pickled
