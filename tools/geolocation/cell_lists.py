"""Partitions as files: from positions to lists of cells and maps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.geolocation import MakeCells
from datasets.positions.columns import read_positions
from tasks.geolocation.partition import Partition, split_adaptively, write_cells
from tasks.geolocation.report import write_partition_report
from tools import cli

CELLS_NAME = "cells.csv"


def make_cells(args: MakeCells) -> tuple[dict[str, Any], str]:
    """Divide the globe; write cells and a report. Raises InputError for too few positions."""
    started = time.perf_counter()
    lat, lng = read_positions(args.positions)
    read = time.perf_counter() - started
    most, least = args.partition.resolve(len(lat))
    partitions = [split_adaptively(lat, lng, most=above, least=least) for above in most]
    seconds = time.perf_counter() - started - read
    folder = args.common.out or Path("cells")
    cli.tidy(folder)
    files = write_all_cells(folder, partitions)
    title = f"Cells of {args.positions.name}"
    write_partition_report(folder, title, cli.shown_command(), partitions, (lat, lng))
    rows = [
        {
            "file": file,
            "split_above": above,
            "drop_below": least,
            "cells": len(partition),
            "photos": int(partition.counts.sum()),
        }
        for file, above, partition in zip(files, most, partitions, strict=True)
    ]
    lines = [
        f"  {row['cells']:6,} cells, {row['photos']:,} of {len(lat):,} images in them "
        f"(split above {row['split_above']:,}, drop below {least}): {row['file']}"
        for row in rows
    ]
    lines.append(f"read in {read:.1f} s, divided in {seconds:.1f} s")
    lines.append(f"report: {folder / 'report.html'}")
    result = {"folder": folder, "positions": len(lat), "partitions": rows}
    return result, "\n".join(lines)


def write_all_cells(folder: Path, partitions: Sequence[Partition]) -> list[Path]:
    """Write ``cells.csv`` of the last, finest partition, ``cells_0.csv`` and so on of others.

    Returns the files, coarse to fine. Raises OSError if one cannot be written.
    """
    names = [f"cells_{k}.csv" for k in range(len(partitions) - 1)] + [CELLS_NAME]
    files = [folder / name for name in names]
    for file, partition in zip(files, partitions, strict=True):
        write_cells(file, partition)
    return files
