"""What the processes of a run collected, brought together."""

from __future__ import annotations

from typing import TypeVar

Row = TypeVar("Row")


def gather_rows(rows: dict[int, Row]) -> dict[int, Row]:
    """Rows by image id of all processes; the same rows where there is one process.

    Args:
        rows: Rows of this process.
    """
    import torch.distributed

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    parts: list[dict[int, Row]] = [{} for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, rows)
    return {image_id: row for part in parts for image_id, row in part.items()}
