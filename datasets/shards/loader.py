"""Batches from shards: streamed, divided among ranks and processes, resumable inside an epoch.

Every process of a rank walks through the headers of the rank's shards in the same order, and reads
and decodes its own batches. So the batches are a function of (seed, epoch, rank) for any number of
processes, and a resumed run skips what it has seen without reading it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from datasets.errors import InputError
from datasets.images import Image, decode_image
from datasets.labels.torch_set import LabelSample, collate_labels, finish_labels
from datasets.loader import EpochSampler, Resumable, draw_seed, init_worker
from datasets.loader_processes import bytes_of
from datasets.shards.tar import (
    COUNT_FILE,
    Record,
    ShardedData,
    read_bytes,
    read_label,
    walk,
)
from datasets.types import LabelBatch

Item = TypeVar("Item")
Transform = Callable[[Image, int], Image]
# Number of records among which the next one is drawn.
WINDOW = 4096


class ShardStream(IterableDataset[dict[str, Any]]):
    """Batches of one rank for one epoch, before :func:`finish_labels`; see :class:`ShardLoader`.

    Args:
        data: Shards.
        transform: Function of (image, random seed).
        draws: Epoch, first draw, seed, and the rank's share.
        batch_size: Number of records per batch and rank.
        num_batches: Number of batches per epoch.
        window: Number of records among which the next one is drawn.
    """

    def __init__(
        self,
        data: ShardedData,
        transform: Transform,
        draws: EpochSampler,
        *,
        batch_size: int,
        num_batches: int,
        window: int,
    ) -> None:
        self.data, self.transform, self.draws = data, transform, draws
        self.batch_size, self.num_batches, self.window = batch_size, num_batches, window
        self.epoch, self.start = draws.epoch, draws.start // batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the batches."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        records = iter(self._order())
        for number in range(self.num_batches):
            batch = list(islice(records, self.batch_size))
            if number >= self.start and (number - self.start) % workers == worker:
                yield self._load(batch)

    def _order(self) -> Iterable[Record]:
        """Records of the rank in the epoch's order."""
        order = np.arange(len(self.data.shards))
        if not self.draws.shuffle:
            return self._records(order)
        seeds = (self.draws.seed, self.epoch)
        order = np.random.default_rng(seeds).permutation(order)
        rng = np.random.default_rng((*seeds, self.draws.rank))
        return shuffle_within(self._records(order), rng, self.window)

    def _records(self, order: np.ndarray[Any, Any]) -> Iterator[Record]:
        """The rank's section of all records: sections have the same length and do not overlap.

        If the number of records does not divide, the first ones of the epoch are drawn again.
        """
        wanted, total = len(self.draws), len(self.data)
        first = self.draws.rank * wanted
        while wanted:
            first %= total
            here = min(wanted, total - first)
            yield from self._stretch(order, first, first + here)
            first, wanted = first + here, wanted - here

    def _stretch(self, order: np.ndarray[Any, Any], first: int, end: int) -> Iterator[Record]:
        start = 0
        for shard in order.tolist():
            count = int(self.data.counts[shard])
            low, high = max(first - start, 0), min(end - start, count)
            start += count
            if low >= high:
                continue
            file, seen = self.data.shards[shard], 0
            for record in islice(walk(file, shard), low, high):
                seen += 1
                yield record
            if seen < high - low:
                raise InputError(
                    f"{file}: holds fewer than the {count} records that were counted; delete "
                    f"{file.parent / COUNT_FILE}"
                )

    def _load(self, records: list[Record]) -> dict[str, Any]:
        """Read, decode and transform records; damaged images are left out and reported."""
        samples, damaged = [], []
        firsts = np.cumsum(self.data.counts) - self.data.counts
        for record in records:
            shard = self.data.shards[record.shard]
            name, index = f"{shard}:{record.name}", int(firsts[record.shard]) + record.position
            label = read_label(shard, record)
            try:
                photo = decode_image(read_bytes(shard, record.picture), name, upright=True)
            except ValueError as error:
                damaged.append(str(error))
                continue
            image = self.transform(photo, draw_seed(self.draws.seed, self.epoch, index))
            samples.append(LabelSample(image, label, index, name))
        if not samples:
            raise InputError(f"{damaged[0]}; so are all {len(damaged)} images of this batch")
        return {"batch": collate_labels(samples), "damaged": damaged}


def shuffle_within(items: Iterable[Item], rng: np.random.Generator, window: int) -> Iterator[Item]:
    """Draw each next item among ``window`` items."""
    held: list[Item] = []
    for item in items:
        if len(held) < window:
            held.append(item)
            continue
        place = int(rng.integers(window))
        yield held[place]
        held[place] = item
    for place in rng.permutation(len(held)).tolist():
        yield held[place]


class ShardLoader(Resumable[LabelBatch]):
    """Loader of shards, used like that of :func:`~datasets.labels.torch_set.label_loader`.

    A damaged image makes its batch smaller by one; after each epoch a warning states how many
    there were.

    Args:
        data: Shards.
        transform: Function of (image, random seed).
        sampler: Sampler of the draws; shuffled draws form complete batches if there are enough.
        batch_size: Number of records per batch and rank.
        workers: Number of loader processes; 0 loads in the training process.
        window: Number of records among which the next one is drawn.

    Attributes:
        damaged: Description of each damaged image that this epoch left out.
    """

    batch_sampler = None  # Lightning looks at it wherever there is a sampler.

    def __init__(
        self,
        data: ShardedData,
        transform: Transform,
        sampler: EpochSampler,
        *,
        batch_size: int,
        workers: int,
        window: int = WINDOW,
    ) -> None:
        self.data, self.transform, self.window = data, transform, window
        self.sampler, self.batch_size = sampler, batch_size
        whole, rest = divmod(len(sampler), batch_size)
        self._batches = whole if sampler.shuffle and whole else whole + bool(rest)
        self.num_workers = min(workers, self._batches)
        self.damaged: list[str] = []
        sizes = {shard.name: shard.stat().st_size for shard in data.shards}
        self._remember(sampler, batch_size, sizes)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[LabelBatch]:
        """Yield batches and count them."""
        self.damaged = []
        for batch in self._hand_out(self._open, self._finish):
            if self.damaged and self._done == len(self):  # A trainer asks for no more than that.
                warnings.warn(
                    f"{self.data.root}: {len(self.damaged)} damaged images were left out of epoch "
                    f"{self._epoch}; the first: {self.damaged[0]}",
                    stacklevel=2,
                )
            yield batch

    def _open(self) -> Iterator[Any]:
        stream = ShardStream(
            self.data,
            self.transform,
            self.sampler,
            batch_size=self.batch_size,
            num_batches=self._batches,
            window=self.window,
        )
        self.sampler.start = 0
        workers, ahead, patience = self._fit_memory()
        loader: DataLoader[Any] = DataLoader(
            stream,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=ahead if workers else None,
            timeout=patience,
            worker_init_fn=init_worker,
            pin_memory=torch.cuda.is_available(),
        )
        self._iterator = iter(loader)
        return self._iterator  # type: ignore[no-any-return]

    def _batch_bytes(self) -> int:
        stream = ShardStream(
            self.data,
            self.transform,
            EpochSampler(len(self.data), shuffle=False),
            batch_size=1,
            num_batches=1,
            window=1,
        )
        return bytes_of(next(iter(stream))) * self.batch_size

    def _finish(self, loaded: dict[str, Any]) -> LabelBatch:
        self.damaged += loaded["damaged"]
        return finish_labels(loaded["batch"])
