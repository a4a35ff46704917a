"""The data of a GAN: images resized once and kept in memory, and what an evaluation generates."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from configs.gan import TrainGan
from datasets.errors import InputError
from datasets.images import Image
from datasets.labels.opening import is_sharded
from datasets.labels.structure import LabelledData, cut_to_boxes
from datasets.labels.torch_set import LabelSample, collate_labels, finish_labels
from datasets.ledger import Ledger
from datasets.loader import Draw, EpochSampler, ResumableLoader
from datasets.memory import cache_bytes
from datasets.squares import centre_square
from datasets.types import LabelBatch
from tasks.dcgan.sampling import numbers_of
from tools.classification.data import open_photos

_BATCH = 128


class Wanted(TypedDict):
    """Images to generate: (B,) int64 class of each image, and its number within the class."""

    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]


def open_parts(config: TrainGan, path: Path) -> tuple[LabelledData, LabelledData]:
    """The GAN's training part, and a part that it never sees. Raises InputError if unusable."""
    if is_sharded(path):
        raise InputError(f"--data {path}: shards are streamed, and a GAN takes images as files")
    train = open_photos(path, "train", config.classes)
    val = open_photos(path, "val", config.classes, train)
    if config.boxes:
        train, val = cut_to_boxes(train), cut_to_boxes(val)
    return train, val


@dataclass(frozen=True)
class GanRun:
    """What the steps of a run share: training images, and images that no network is trained on."""

    config: TrainGan
    train: LabelledData
    val: LabelledData
    path: Path
    folder: Path
    device: str
    files: Sequence[Ledger] = ()
    parts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Pictures:
    """A data set of images at the generator's size: ``pixels`` (N, S, S, 3) uint8 RGB, squares."""

    data: LabelledData
    pixels: NDArray[np.uint8]

    @classmethod
    def read(cls, data: LabelledData, size: int) -> Pictures:
        """Read and resize all images. Raises InputError if they need too much memory."""
        if (total := len(data) * size * size * 3) > (room := cache_bytes()):
            raise InputError(
                f"{data.root}: {len(data)} images at {size} pixels take {total / 1e9:.1f} GB, "
                f"more than the {room / 1e9:.1f} that can be spared: take fewer classes "
                "(--classes), or a smaller --size"
            )

        def make(index: int) -> Image:
            return centre_square(data.image(index), size, crop=1.0)

        with ThreadPoolExecutor() as pool:
            work = pool.map(make, range(len(data)))
            made = list(tqdm(work, "reading images", len(data), unit="image", delay=2))
        return cls(data, np.stack(made))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def __getitem__(self, draw: Draw) -> LabelSample:
        """Sample of a draw (epoch, index); it is the same in each epoch."""
        _, index = draw
        return LabelSample(
            image=self.pixels[index],
            target=int(self.data.labels[index]),
            image_id=index,
            file=str(self.data.files[index]),
        )

    def some(self, limit: int) -> Pictures:
        """At most ``limit`` of them, evenly selected, so that each class keeps its share."""
        if len(self) <= limit:
            return self
        rows = np.linspace(0, len(self) - 1, limit).round().astype(np.int64)
        keep = np.zeros(len(self), dtype=np.bool_)
        keep[rows] = True
        return Pictures(self.data.select(keep), self.pixels[keep])


def picture_loader(pictures: Pictures, batch_size: int, seed: int) -> ResumableLoader[LabelBatch]:
    """Loader of shuffled complete batches; nothing is read or decoded, so it needs no process."""
    draws = EpochSampler(len(pictures), shuffle=True, seed=seed)
    return ResumableLoader(pictures, draws, collate_labels, finish_labels, batch_size, 0)


@dataclass(frozen=True)
class WantedSet:
    """Images that an evaluation generates: (N,) class of each, and its number in the class."""

    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, draw: Draw) -> tuple[int, int]:
        """Column and number of a draw (epoch, index)."""
        return int(self.labels[draw[1]]), int(self.numbers[draw[1]])


def wanted_loader(labels: NDArray[np.int64]) -> ResumableLoader[Wanted]:
    """Loader of the images to generate: as many of each class as there are labels."""
    wanted = WantedSet(labels, numbers_of(labels))
    draws = EpochSampler(len(wanted), shuffle=False)
    return ResumableLoader(wanted, draws, _collate, _finish, _BATCH, 0)


def _collate(samples: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    return np.array(samples, dtype=np.int64)


def _finish(rows: NDArray[np.int64]) -> Wanted:
    return {"labels": rows[:, 0].copy(), "numbers": rows[:, 1].copy()}
