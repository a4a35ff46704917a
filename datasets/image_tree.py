"""The files below a folder in order, one after another: memory does not grow with their number."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from datasets.images import is_passed_over
from datasets.names import leads_to_folder, shown


def files_in_order(folder: Path, leave_out: Path | None = None) -> Iterator[str]:
    """Paths of the files below a folder, in the order of their sorted paths.

    Names that do not belong to a data set are left out, as are folders that are links.

    Args:
        folder: Folder to search.
        leave_out: Folder below it that is not searched.
    """
    omitted = "" if leave_out is None else os.path.realpath(leave_out)
    waiting = [_entries(str(folder))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif not entry[1]:
            yield entry[0]
        elif not omitted or os.path.realpath(entry[0]) != omitted:
            waiting.append(_entries(entry[0]))


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Path of each entry of a folder, and whether it is a folder; sorted."""
    found: list[tuple[str, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_passed_over(entry.name):
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder or not leads_to_folder(entry):
                    found.append((entry.name, is_folder))
    except OSError as error:
        text = f"{shown(folder)}: left out, as it cannot be read ({error.strerror})"
        warnings.warn(text, stacklevel=2)
    found.sort()
    return ((f"{folder}{os.sep}{name}", is_folder) for name, is_folder in found)
