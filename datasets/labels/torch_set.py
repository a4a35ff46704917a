"""The torch data set and the loader of a classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.images import Image
from datasets.labels.structure import LabelledData
from datasets.loader import Draw, draw_seed, epoch_loader
from datasets.memory import cache_bytes
from datasets.reading_order import ReadTogether
from datasets.types import LabelBatch

# So many images are decoded to estimate the size of all.
_PROBED = 64

Transform = Callable[[Image, int], Image]


@dataclass
class LabelSample:
    """One transformed image on its way into a batch."""

    image: Image  # (S, S, 3) uint8 RGB
    target: int  # column from 0
    image_id: int
    file: str


class LabelledSet:
    """Map-style data set: reads and transforms one image.

    Args:
        data: Images and labels.
        transform: Applied to (image, random seed).
        seed: Base of the augmentation's randomness.
        cache: Keep all images decoded in memory, which loader processes share, if they take
            no more than a share of the free memory. It changes no result; reading and decoding is
            about half of the work on images of 64 pixels.

    Raises:
        InputError: If the cache meets an image that cannot be read.
    """

    def __init__(
        self,
        data: LabelledData,
        transform: Transform,
        seed: int = 0,
        *,
        cache: bool = False,
    ) -> None:
        self.data, self.transform, self.seed = data, transform, seed
        self._cache = DecodedPhotos.fill(data) if cache else None

    @property
    def num_cached(self) -> int:
        """Bytes of decoded images that are kept in memory."""
        return 0 if self._cache is None else self._cache.pixels.nbytes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.data)

    @property
    def read_together(self) -> ReadTogether | None:
        """Which images are read at once; None where each is read by itself, or from memory."""
        return self.data.read_together if self._cache is None else None

    def __getitem__(self, draw: Draw) -> LabelSample:
        """Sample of a draw (epoch, index), a function of (seed, epoch, index) alone."""
        epoch, index = draw
        photo = self.data.image(index) if self._cache is None else self._cache[index]
        return LabelSample(
            image=self.transform(photo, draw_seed(self.seed, epoch, index)),
            target=int(self.data.labels[index]),
            image_id=index,
            file=str(self.data.files[index]),
        )


@dataclass(frozen=True)
class DecodedPhotos:
    """Images of any sizes in one array, which processes share without copying.

    Attributes:
        pixels: (sum of H * W * 3,) uint8.
        sizes: (N, 2) int64 (height, width).
        offsets: (N,) int64 start of each image in ``pixels``.
    """

    pixels: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __getitem__(self, index: int) -> Image:
        """Image of an index, (H, W, 3) RGB; a view that nobody can write to."""
        height, width = self.sizes[index].tolist()
        start = int(self.offsets[index])
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    @classmethod
    def fill(cls, data: LabelledData) -> DecodedPhotos | None:
        """Decode all images; None, with a warning, if they would take too much memory."""
        probes = range(0, len(data), max(1, len(data) // _PROBED))
        guess = float(np.mean([data.image(k).size for k in probes] or [0])) * len(data)
        room = cache_bytes()
        if guess > room:
            _warn_too_big(data, guess, room)
            return None
        photos: list[Image] = []
        total = 0
        with ThreadPoolExecutor() as pool:
            work = pool.map(data.image, range(len(data)))
            for photo in tqdm(work, "decoding images", len(data), unit="image", delay=2):
                photos.append(photo)
                total += photo.size
                if total > room:
                    pool.shutdown(wait=False, cancel_futures=True)
                    _warn_too_big(data, total, room)
                    return None
        pixels = np.empty(total, np.uint8)
        sizes = np.array([p.shape[:2] for p in photos], dtype=np.int64).reshape(-1, 2)
        ends = np.cumsum(sizes.prod(axis=1) * 3)
        offsets = ends - sizes.prod(axis=1) * 3
        for start, end in zip(offsets[::-1], ends[::-1], strict=True):
            pixels[start:end] = photos.pop().reshape(-1)  # Never both copies of all of them.
        pixels.setflags(write=False)
        return cls(pixels, sizes, offsets)


def _warn_too_big(data: LabelledData, size: float, room: int) -> None:
    warnings.warn(
        f"{data.root}: its {len(data)} decoded images take {size / 1e9:.1f} GB or more, so they "
        f"are not kept in memory ({room / 1e9:.1f} GB can be spared); each epoch decodes them",
        stacklevel=3,
    )


def collate_labels(samples: Sequence[LabelSample]) -> dict[str, Any]:
    """Stack the images of some samples; the rest crosses between processes as plain lists."""
    images = np.stack([sample.image for sample in samples])
    return {
        "images": torch.from_numpy(images).permute(0, 3, 1, 2),
        "targets": [sample.target for sample in samples],
        "image_ids": [sample.image_id for sample in samples],
        "files": [sample.file for sample in samples],
    }


def finish_labels(batch: dict[str, Any]) -> LabelBatch:
    """Turn the labels into a tensor."""
    targets = torch.tensor(batch["targets"], dtype=torch.int64)
    return cast("LabelBatch", {**batch, "targets": targets})


label_loader = partial(epoch_loader, collate=collate_labels, finish=finish_labels)
"""Loader of a classifier: shuffled and in whole batches for training, else in order."""
