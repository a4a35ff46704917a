"""Loaders in which each sample is a function of (seed, epoch, index), for exact resuming.

The sampler returns (epoch, index) draws, and a data set seeds the augmentation of a sample with
them; so neither the number of processes nor an interruption changes what the network sees. A
resumed run starts inside the epoch at the batch after the last one trained.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from datasets.errors import InputError
from datasets.loader_processes import (
    PATIENCE_SECONDS,
    bytes_of,
    processes_that_fit,
    while_they_work,
)
from datasets.reading_order import ReadTogether, shuffled

Draw = tuple[int, int]  # (epoch, index)
# Seconds that a loader continues after a SIGTERM.
_GRACE_SECONDS = 10
Batch = TypeVar("Batch")


class DrawnSet(Protocol):
    """A data set whose samples are functions of a draw."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, draw: Draw, /) -> Any:
        """The sample of a draw (epoch, index)."""


class StoredSet(DrawnSet, Protocol):
    """A data set that states how its samples are stored."""

    @property
    def read_together(self) -> ReadTogether | None:
        """Which samples are read together; None if each is read separately."""


def draw_seed(seed: int, epoch: int, index: int) -> int:
    """Seed of a draw's augmentation: the same for any number of loader processes."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0])


class EpochSampler(Sampler[Draw]):
    """Draws of one rank for one epoch, in an order that is a function of (seed, epoch).

    Args:
        length: Number of samples in the data set.
        shuffle: Whether to use another order in each epoch.
        seed: Seed of the order.
        rank: Number of this process, from 0 to ``world`` - 1.
        world: Number of processes; each draws an equal share, and the first samples are drawn
            again if the number does not divide.
        read_together: Samples that are read together, and are therefore drawn near each other.

    Attributes:
        epoch: Epoch, set by the trainer before each one.
        start: Number of draws of this epoch to skip, because they were trained on before a resume.
    """

    def __init__(
        self,
        length: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        read_together: ReadTogether | None = None,
    ) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.rank, self.world, self.read_together = rank, world, read_together
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of draws of a whole epoch on this rank."""
        return -(-self.length // self.world)

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of this rank from ``start`` on."""
        order = np.arange(self.length)
        if self.shuffle:
            rng = np.random.default_rng((self.seed, self.epoch))
            order = shuffled(self.length, rng, self.read_together)
        mine = np.resize(order, len(self) * self.world)[self.rank :: self.world]
        epoch, start = self.epoch, self.start
        self.start = 0
        return iter([(epoch, int(index)) for index in mine[start:]])


class Resumable(Generic[Batch]):
    """A loader that stores in a checkpoint how far into the epoch it was.

    Lightning saves and restores it with ``state_dict`` and ``load_state_dict``.

    Attributes:
        num_workers: Number of loader processes.
        memory_share: Share of the shared memory that a loader may use, if several load at once.
        versions: Versions, by name, of files that must not change while a run is interrupted.
    """

    num_workers: int
    memory_share = 1.0
    _iterator: Any = None
    _fitted = False

    def _remember(
        self, draws: EpochSampler, per_batch: int, versions: Mapping[str, int] | None = None
    ) -> None:
        """Store sampler, draws per batch, and versions of files that must not change."""
        self._draws, self._per_batch = draws, per_batch
        self.versions = dict(versions or {})
        self._epoch = self._done = 0

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        raise NotImplementedError

    def _hand_out(
        self, batches: Callable[[], Iterable[Any]], finish: Callable[[Any], Batch]
    ) -> Iterator[Batch]:
        """Yield batches and count them."""
        self._epoch, self._done = self._draws.epoch, self._draws.start // self._per_batch
        try:
            for batch in while_they_work(iter(batches())):
                self._done += 1
                yield finish(batch)
        except InputError as error:  # From a loader process it comes wrapped in a traceback.
            raise InputError(str(error).rsplit("InputError: ", 1)[-1].strip()) from error

    def _batch_bytes(self) -> int:
        """Approximate memory of a batch in bytes. It may raise whatever a damaged file raises."""
        return 0

    def _fit_memory(self) -> tuple[int, int, int]:
        """Processes, batches that each loads ahead, and seconds to wait, as memory permits."""
        if not self._fitted:
            self.num_workers, self._ahead = processes_that_fit(
                self.num_workers, self.batch_bytes, self.memory_share
            )
            self._fitted = True
        return self.num_workers, self._ahead, PATIENCE_SECONDS if self.num_workers else 0

    def batch_bytes(self) -> int:
        """Approximate memory of a batch in bytes; 0 if none can be made."""
        try:
            return self._batch_bytes()
        except Exception:  # It will be raised again where it is handled.
            return 0

    def close(self) -> None:
        """End the loader processes now; a reference cycle may keep this object alive for long."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None and self.num_workers:
            iterator._shutdown_workers()  # torch has no public way

    def state_dict(self) -> dict[str, Any]:
        """Epoch, number of its batches that were returned, and versions of files."""
        versions = {"versions": self.versions} if self.versions else {}
        return {"epoch": self._epoch, "batches": self._done, **versions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start after the batches in a checkpoint; after a complete epoch, with the next one.

        Args:
            state: Result of :meth:`state_dict`.

        Raises:
            InputError: If a file of the data has another version now.
        """
        before = state.get("versions", self.versions)  # Older checkpoints know none.
        for name in sorted(before.keys() | self.versions.keys()):
            if before.get(name) != self.versions.get(name):
                how = "is new" if name not in before else "has changed"
                how = how if name in self.versions else "is gone"
                raise InputError(
                    f"{name} {how} since this run's checkpoint, so the run would go on with other "
                    "data, in another order: restore it, or start another run from the weights of "
                    "this one (--weights)"
                )
        epoch, done = state["epoch"], state["batches"]
        if done >= len(self):
            epoch, done = epoch + 1, 0
        self._draws.set_epoch(epoch)
        self._draws.start = done * self._per_batch


class ResumableLoader(Resumable[Batch], DataLoader[Batch]):
    """A loader that can continue inside an epoch.

    Args:
        dataset: Data set that takes draws (epoch, index).
        sampler: Sampler of the draws; shuffled draws form complete batches if there are enough.
        collate: Function from samples to a batch, called in the loader process.
        finish: Function that completes a batch in the training process.
        batch_size: Number of samples per batch and rank.
        workers: Number of loader processes, reduced to the number of batches and to what fits into
            shared memory; 0 loads in the training process.
    """

    def __init__(
        self,
        dataset: DrawnSet,
        sampler: EpochSampler,
        collate: Callable[[Sequence[Any]], Any],
        finish: Callable[[Any], Batch],
        batch_size: int,
        workers: int,
    ) -> None:
        workers = min(workers, -(-len(sampler) // batch_size))
        DataLoader.__init__(
            self,
            cast("Any", dataset),  # Not a Dataset of batches, as the base class would have it.
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=init_worker,
            pin_memory=torch.cuda.is_available(),
            drop_last=sampler.shuffle and len(sampler) >= batch_size,
        )
        together = sampler.read_together
        self._remember(sampler, batch_size, together.versions if together else None)
        self._finish, self._collate = finish, collate

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return DataLoader.__len__(self)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches and count them."""
        return self._hand_out(self._open, self._finish)

    def _open(self) -> Iterator[Any]:
        _, ahead, self.timeout = self._fit_memory()
        self.prefetch_factor = ahead if self.num_workers else None
        return DataLoader.__iter__(self)

    def _batch_bytes(self) -> int:
        sample = self.dataset[cast("Any", (0, 0))]
        assert self.batch_size is not None
        return bytes_of(self._collate([sample])) * self.batch_size


def init_worker(_worker: int) -> None:
    """Use one thread per process: the processes provide the parallelism.

    Ctrl-C, SLURM's SIGUSR1, and a SIGTERM to the whole process group are left to the trainer,
    which first saves the run and would fail if a loader died meanwhile; so a loader ends a while
    later.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_SECONDS))
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def epoch_loader(
    dataset: StoredSet,
    *,
    collate: Callable[[Sequence[Any]], Any],
    finish: Callable[[Any], Batch],
    batch_size: int,
    train: bool,
    workers: int,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> ResumableLoader[Batch]:
    """Loader of whole epochs: shuffled, in complete batches for training, else in order."""
    sampler = EpochSampler(
        len(dataset),
        shuffle=train,
        seed=seed,
        rank=rank,
        world=world,
        read_together=dataset.read_together,
    )
    return ResumableLoader(dataset, sampler, collate, finish, batch_size, workers)
