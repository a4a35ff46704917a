"""The partitions that a model answers in, coarse to fine, as arrays and as a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.geolocation import s2
from tasks.geolocation.partition import Partition
from tasks.geolocation.s2 import Ints
from tasks.geolocation.sphere import Floats

if TYPE_CHECKING:
    from torch import Tensor

# Columns of the tensor that is stored with the weights.
_LEVEL, _CELL, _MEAN, _COUNT, _WIDTH = range(5)


@dataclass(frozen=True)
class Atlas:
    """One or several partitions; each cell is inside one cell of those before it."""

    partitions: tuple[Partition, ...]  # coarse to fine; the last one is what the model answers in

    def __post_init__(self) -> None:
        """Raise InputError if there is none, or naming a cell that is inside no coarser one."""
        if not self.partitions:
            raise InputError("a model needs a partition")
        for coarse, fine in pairwise(self.partitions):
            outside = np.flatnonzero(coarse.columns_of(fine.ids) < 0)
            if len(outside):
                raise InputError(
                    f"cell {fine.tokens[outside[0]]} lies in no cell of the coarser partition: "
                    "name the partitions coarse to fine, all of the same positions"
                )

    @property
    def fine(self) -> Partition:
        """The partition that the model answers in."""
        return self.partitions[-1]

    @property
    def sizes(self) -> list[int]:
        """Numbers of cells of the partitions: the outputs of the heads."""
        return [len(partition) for partition in self.partitions]

    @cached_property
    def ancestors(self) -> list[Ints]:
        """For each partition, the column (C,) in it of each of the finest one's cells."""
        return [partition.columns_of(self.fine.ids) for partition in self.partitions]

    @property
    def classes(self) -> ClassMap:
        """The finest cells as classes: tokens as names, columns as ids."""
        return ClassMap.from_names(self.fine.tokens, first=0)

    @property
    def columns(self) -> ClassMap:
        """The outputs of all heads as classes: partition and token."""
        return ClassMap.from_names(
            [f"{level}/{t}" for level, part in enumerate(self.partitions) for t in part.tokens]
        )

    def columns_at(self, lat: Floats, lng: Floats) -> Ints:
        """Columns (N, partitions) of points (N,) in degrees; -1 where a partition has no cell."""
        leaves = s2.cell_ids(lat, lng)
        return np.stack([p.columns_of(leaves) for p in self.partitions], axis=1)

    def to_tensor(self) -> Tensor:
        """The atlas as integers, which keep every bit in every file and on every device.

        Returns:
            (cells, 4) int64: partition, cell id, leaf cell of the mean position, number of images.
        """
        import torch

        rows = []
        for level, partition in enumerate(self.partitions):
            means = s2.cell_ids(partition.lat, partition.lng)
            which = np.full(len(partition), level)
            numbers = (partition.ids.view(np.int64), means.view(np.int64), partition.counts)
            rows.append(np.stack((which, *numbers), axis=1))
        return torch.from_numpy(np.concatenate(rows).astype(np.int64))


def atlas_of(tensor: Tensor) -> Atlas:
    """Read the result of :meth:`Atlas.to_tensor`. Raises InputError if it is not one."""
    return atlas_from(tensor.cpu().numpy())


def atlas_from(rows: NDArray[np.int64]) -> Atlas:
    """The same from an array (cells, 4). Raises InputError if it holds no cells."""
    if rows.dtype != np.int64 or rows.ndim != 2 or rows.shape[1] != _WIDTH or not len(rows):
        raise InputError(f"the tensor of cells is {rows.dtype} {rows.shape}, not int64 (cells, 4)")
    if not s2.is_valid(rows[:, [_CELL, _MEAN]].astype(np.uint64)).all():
        raise InputError("the tensor of cells holds numbers that are no S2 cells")
    partitions = []
    for level in range(int(rows[:, _LEVEL].max()) + 1):
        part = rows[rows[:, _LEVEL] == level]
        cells, means = (part[:, column].astype(np.uint64) for column in (_CELL, _MEAN))
        partitions.append(Partition(cells, part[:, _COUNT], *s2.centres(means)))
    return Atlas(tuple(partitions))
