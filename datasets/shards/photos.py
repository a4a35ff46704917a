"""Single images out of shards, for evaluations, which look at some of them again."""

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
    """The records of shards as images that can be read one by one, in the order of the shards.

    Attributes:
        shards: Files.
        spans: (N, 3) int64 shard, offset and length in bytes of each image.
    """

    shards: tuple[Path, ...]
    spans: NDArray[np.int64]

    def image(self, index: int) -> Image:
        """As :meth:`LabelledData.image`."""
        return decode_image(self.content(index)[0], str(self.files[index]), upright=True)

    @property
    def in_files(self) -> bool:
        """As :attr:`LabelledData.in_files`."""
        return False

    def length(self, index: int) -> int | None:
        """As :meth:`LabelledData.length`."""
        return int(self.spans[index, 2])

    def content(self, index: int) -> tuple[bytes, str]:
        """As :meth:`LabelledData.content`."""
        shard, offset, length = self.spans[index].tolist()
        suffix = Path(str(self.files[index])).suffix.lower()
        return read_bytes(self.shards[shard], (offset, length)), suffix

    def select(self, keep: NDArray[np.bool_]) -> LabelledData:
        """As :meth:`LabelledData.select`."""
        return replace(super().select(keep), spans=self.spans[keep])  # type: ignore[call-arg]


def list_photos(data: ShardedData) -> ShardPhotos:
    """Walk through shards and note where each image lies; for sets that memory holds a list of."""
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
