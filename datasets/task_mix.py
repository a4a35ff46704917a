"""One stream of batches from the loaders of several tasks, resumable at every step.

Each task's loader counts its own epochs: a small data set is repeated more often than a large one,
each time in another order and with new augmentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from datasets.errors import InputError
from datasets.loader import EpochSampler, Resumable
from datasets.loader_processes import AHEAD, is_plenty
from datasets.types import MixedBatch

# Exponent of a data set's size in the probability that a step has a batch of it.
_POWER = 0.5


class TaskMix(Resumable[MixedBatch]):
    """Batches of several tasks for each step of a training.

    Args:
        loaders: Loaders of training batches, by task.
        per_step: Number of tasks per step; 0 means all. Otherwise so many different ones are drawn
            for each step, and a data set of four times the size is twice as likely to be drawn
            first.
        seed: Seed of these draws.
        steps: Number of steps per epoch; 0 means as many as show as many images as all data sets
            hold together.

    Attributes:
        sampler: Holder of the epoch, which the trainer sets.

    Raises:
        InputError: If a data set has too few images for a batch, or there are fewer tasks than
            drawn.
    """

    num_workers = 0
    batch_sampler = None  # Lightning looks at it wherever there is a sampler.

    def __init__(
        self,
        loaders: Mapping[str, Resumable[Any]],
        *,
        per_step: int = 0,
        seed: int = 0,
        steps: int = 0,
    ) -> None:
        self.names = list(loaders)
        if per_step > len(self.names):
            raise InputError(f"--heads-per-step {per_step}: there are {len(self.names)} to train")
        for name, loader in loaders.items():
            if not len(loader):
                raise InputError(f"{name}: too few images for a batch: lower --batch-size")
        self._loaders = dict(loaders)
        self.per_step, self.seed = per_step or len(self.names), seed
        sizes = np.array([len(loader) for loader in loaders.values()], dtype=np.float64)
        self._shares = sizes**_POWER / (sizes**_POWER).sum()
        self.steps = steps or int(-(-sizes.sum() // self.per_step))
        self.sampler = EpochSampler(self.steps, shuffle=False)
        versions = {
            f"{name}: {file}": version
            for name, loader in loaders.items()
            for file, version in loader.versions.items()
        }
        self._remember(self.sampler, 1, versions)
        self._streams: dict[str, Iterator[Any]] = {}
        self._next_step = -1  # The step that the streams stand before.

    def __len__(self) -> int:
        """Number of steps in an epoch."""
        return self.steps

    def drawn(self, step: int) -> list[str]:
        """The tasks of a step of the run, in fixed order: a function of (seed, step)."""
        if self.per_step == len(self.names):
            return self.names
        rng = np.random.default_rng((self.seed, step))
        chosen = rng.choice(len(self.names), self.per_step, replace=False, p=self._shares)
        return [self.names[place] for place in np.sort(chosen)]

    def __iter__(self) -> Iterator[MixedBatch]:
        """Yield the steps of an epoch, or the rest of it."""
        return self._hand_out(self._epoch_steps, lambda batch: batch)

    def _share_memory(self) -> None:
        """Divide shared memory among the loaders by need, for all work at the same time."""
        if is_plenty(1 / len(self._loaders)):
            return
        needs = {
            name: max(1, loader.batch_bytes() * (loader.num_workers * AHEAD + 1))
            for name, loader in self._loaders.items()
            if loader.num_workers
        }
        for name, need in needs.items():
            self._loaders[name].memory_share = need / sum(needs.values())

    def _epoch_steps(self) -> Iterator[MixedBatch]:
        if not self._streams:
            self._share_memory()
        first = self.sampler.epoch * self.steps
        end = first + self.steps
        first, self.sampler.start = first + self.sampler.start, 0
        if first != self._next_step:
            self._go_to(first)
        for step in range(first, end):
            parts = {name: self._take(name) for name in self.drawn(step)}
            self._next_step = step + 1
            yield _mixed(parts)

    def _go_to(self, step: int) -> None:
        """Move each task's loader to its position before a step of the run."""
        done = Counter(name for before in range(step) for name in self.drawn(before))
        for name, loader in self._loaders.items():
            epoch, batches = divmod(done[name], len(loader))
            loader.load_state_dict({"epoch": epoch, "batches": batches})
        self._streams = {}

    def _take(self, name: str) -> Any:
        """A task's next batch; after its last one its own next epoch begins."""
        loader = self._loaders[name]
        while True:
            if name not in self._streams:
                self._streams[name] = iter(loader)  # type: ignore[call-overload]
            for batch in self._streams[name]:
                return batch
            loader.load_state_dict(loader.state_dict())  # After a whole epoch it is the next.
            del self._streams[name]

    def close(self) -> None:
        """End all loader processes now."""
        for loader in self._loaders.values():
            loader.close()


class InTurn(Resumable[MixedBatch]):
    """Evaluation batches of several tasks: all of one, then all of the next."""

    num_workers = 0

    def __init__(self, loaders: Mapping[str, Resumable[Any]]) -> None:
        self._loaders = dict(loaders)

    def __len__(self) -> int:
        """Number of batches of all tasks."""
        return sum(len(loader) for loader in self._loaders.values())

    def __iter__(self) -> Iterator[MixedBatch]:
        """Yield batches with one part each."""
        for name, loader in self._loaders.items():
            for batch in loader:  # type: ignore[attr-defined]
                yield _mixed({name: batch})

    def close(self) -> None:
        """End all loader processes now."""
        for loader in self._loaders.values():
            loader.close()


def _mixed(parts: dict[str, Any]) -> MixedBatch:
    return {"parts": parts, "files": [file for part in parts.values() for file in part["files"]]}
