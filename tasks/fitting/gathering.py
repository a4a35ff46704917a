"""Collects what the processes of a run have gathered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Row = TypeVar("Row")


def gather_rows(rows: dict[int, Row]) -> dict[int, Row]:
    """Rows by image id of all processes; the same rows if there is one process."""
    import torch.distributed

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    parts: list[dict[int, Row]] = [{} for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, rows)
    return {image_id: row for part in parts for image_id, row in part.items()}


class RowEvaluator(Generic[Row]):
    """The part of an evaluator that keeps a row for each image."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}  # by image id

    def keep(self, image_ids: Sequence[int], rows: Iterable[Row]) -> None:
        """Store the rows of some images; an image that was added before is ignored."""
        for image_id, row in zip(image_ids, rows, strict=True):
            self.rows.setdefault(int(image_id), row)

    def gather(self) -> None:
        """Collect the rows of all processes on each process."""
        self.rows = gather_rows(self.rows)

    def stacked(self, width: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Image ids (M,), ascending, and their rows (M, width)."""
        ids = np.array(sorted(self.rows), dtype=np.int64)
        rows = [self.rows[image_id] for image_id in ids.tolist()]
        return ids, np.array(rows).reshape(len(ids), width)
