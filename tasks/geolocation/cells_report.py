"""The page of partitions alone: figures and a map of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.geolocation.partition import Partition
from tasks.geolocation.sphere import Floats
from tasks.geolocation.world import partition_plot
from tasks.reporting.html_page import Page


def write_partition_report(
    folder: Path,
    title: str,
    command: str,
    partitions: Sequence[Partition],
    at: tuple[Floats, Floats],
) -> None:
    """Write ``report.html`` of partitions alone, with a map of each.

    Args:
        folder: To write into.
        title: Of the page.
        command: That made it.
        partitions: Coarse to fine.
        at: Latitudes and longitudes (N,) that they were made of, degrees.

    Raises:
        OSError: If it cannot be written.
    """
    page = Page(title, command)
    for partition in partitions:
        counts = partition.counts
        page.section(f"{len(partition)} cells")
        kept = f"{counts.sum() / max(len(at[0]), 1):.1%}"
        page.headline(
            [
                (f"{counts.sum():,}", f"photos in them, {kept} of all"),
                (f"{counts.min():,} to {counts.max():,}", "photos per cell"),
                (f"{np.median(counts):,.0f}", "median"),
            ]
        )
        page.plots([(partition_plot(partition, *at), "cells, and photos (red)")])
    page.write(folder / "report.html")
