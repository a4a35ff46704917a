"""Individual images from shards, for evaluations, which read some of them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.images import Image, decode_image
from datasets.labels.structure import LabelledData
from datasets.shards.tar import ShardedData, read_bytes, read_label, walk


@dataclass(frozen=True, kw_only=True)
class ShardPhotos(LabelledData):
    """The records of shards as images that can be read individually, in the order of the shards.

    Attributes:
        shards: Files.
        spans: (N, 3) int64 shard, offset and length in bytes of each image.
    """

    shards: tuple[Path, ...]
    spans: NDArray[np.int64]

    def image(self, index: int) -> Image:
        """The image of an index; see :meth:`LabelledData.image`."""
        return decode_image(self.content(index)[0], str(self.files[index]), upright=True)

    @property
    def in_files(self) -> bool:
        """Always false; see :attr:`LabelledData.in_files`."""
        return False

    def length(self, index: int) -> int | None:
        """Length in bytes of an image; see :meth:`LabelledData.length`."""
        return int(self.spans[index, 2])

    def content(self, index: int) -> tuple[bytes, str]:
        """File content of an image, and its suffix; see :meth:`LabelledData.content`."""
        shard, offset, length = self.spans[index].tolist()
        suffix = Path(str(self.files[index])).suffix.lower()
        return read_bytes(self.shards[shard], (offset, length)), suffix

    def select(self, keep: NDArray[np.bool_]) -> LabelledData:
        """The images of a mask (N,); see :meth:`LabelledData.select`."""
        return replace(super().select(keep), spans=self.spans[keep])  # type: ignore[call-arg]


def list_photos(data: ShardedData) -> ShardPhotos:
    """Record the position of each image in shards, for lists that fit into memory."""
    files, labels, spans = [], [], []
    for number, shard in enumerate(tqdm(data.shards, "listing records", unit="shard", delay=2)):
        for record in walk(shard, number):
            files.append(f"{shard}:{record.name}")
            labels.append(read_label(shard, record))
            spans.append((number, *record.picture))
    return ShardPhotos(
        format="shards",
        root=data.root,
        files=np.array(files, dtype=np.str_),
        labels=np.array(labels, dtype=np.int64),
        classes=data.classes,
        shards=data.shards,
        spans=np.array(spans, dtype=np.int64),
    )
