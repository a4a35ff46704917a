"""Limits loader processes to what fits into shared memory, and checks that they are working.

Their batches pass through shared memory, of which a container has 64 MB by default. A process that
finds none may die, or wait for ever without a message.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.errors import InputError

SHARED = Path("/dev/shm")
# Number of batches that a process loads ahead, as in torch.
AHEAD = 2
# If this much is free, nothing is measured: it is enough for any loader.
_PLENTY = 4 << 30
# Share of the free memory for one loader: another one, for the evaluation, may follow.
_SHARE = 0.5
# Seconds for which idle processes may deliver nothing, how often in a row, and the CPU time below
# which they are idle: waiting processes look around now and then.
PATIENCE_SECONDS = 30
IDLE_TIMES = 2
_IDLE_SECONDS = 0.2


def is_plenty(share: float = 1.0) -> bool:
    """Whether this share of shared memory is enough for any loader, or the system has none."""
    free = free_bytes()
    return free is None or free * share >= _PLENTY * _sharers()


def _sharers() -> int:
    """Number of processes of a run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def processes_that_fit(
    workers: int, measure: Callable[[], int], share: float = 1.0
) -> tuple[int, int]:
    """How many loader processes can be used, and how many batches each loads ahead.

    It warns if these are fewer than requested.

    Args:
        workers: Requested number of processes.
        measure: Function that returns the bytes of a batch; it is called only if shared memory is
            short.
        share: Share of one loader's allowance, if several load at once.
    """
    free = free_bytes()
    if workers == 0 or free is None or is_plenty(share):
        return workers, AHEAD
    room, batch = int(free * share * _SHARE / _sharers()), max(1, measure())
    if batch * (workers * AHEAD + 1) <= room:  # One is being trained on.
        return workers, AHEAD
    fit = max(0, min(workers, room // batch - 1))
    warnings.warn(
        f"{SHARED} has {free / 1e6:.0f} MB free, too little for {workers} loader processes with "
        f"batches of {batch / 1e6:.1f} MB: {fit} are used; with more (docker run --shm-size 8g) "
        "it is faster, and the result is the same",
        stacklevel=2,
    )
    return fit, 1


def free_bytes() -> int | None:
    """Free shared memory in bytes; None if the system has it elsewhere."""
    try:
        found = os.statvfs(SHARED)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def bytes_of(batch: Any) -> int:
    """Number of bytes in all tensors and arrays of a batch."""
    if isinstance(batch, torch.Tensor | np.ndarray):
        return int(batch.nbytes)
    if isinstance(batch, Mapping):
        return sum(map(bytes_of, batch.values()))
    if isinstance(batch, list | tuple):
        return sum(map(bytes_of, batch))
    return 0


def while_they_work(iterator: Any) -> Iterator[Any]:
    """The batches of a DataLoader's iterator with a timeout of :data:`PATIENCE_SECONDS`.

    Slow processes are waited for.

    Raises:
        InputError: If nothing has arrived for that long, and the processes have done nothing.
    """
    processes = [one.pid for one in getattr(iterator, "_workers", ())]
    done, idle = _seconds_of_work(processes), 0
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            if "timed out after" not in str(error):
                raise
            before, done = done, _seconds_of_work(processes)
            works = before is None or done is None or done - before >= _IDLE_SECONDS
            idle = 0 if works else idle + 1
            if idle < IDLE_TIMES:  # A program that was stopped sees it once as it goes on.
                continue
            free = free_bytes()
            room = "" if free is None else f" ({free / 1e6:.0f} MB are free in {SHARED})"
            seconds = PATIENCE_SECONDS * IDLE_TIMES
            raise InputError(
                f"no batch has come from {len(processes)} loader processes for {seconds} s, and "
                f"they do nothing: shared memory may be full{room}, or "
                "the disk or network that holds the data does not answer; --workers 0 loads "
                "without processes"
            ) from error
        else:
            yield batch
            done, idle = _seconds_of_work(processes), 0


def _seconds_of_work(processes: Sequence[int]) -> float | None:
    """Processor time that processes have used; None if the system does not report it."""
    total = 0
    try:
        for process in processes:
            told = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
            total += int(told[11]) + int(told[12])  # Of it and of the system for it.
        return total / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
