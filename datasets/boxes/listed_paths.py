"""Paths as lists and data files write them, found where the files lie now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def is_there(path: Path | str) -> bool:
    """Whether a file or folder exists; false for names that the file system cannot hold."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that is too long.


def locate(written: str, bases: Sequence[Path], least: int = 2) -> Path | None:
    """The file or folder that a written path means, if it is anywhere.

    Lists are written for another working folder or another machine: leading folders may not be
    here (``data/obj/1.jpg``, ``/home/anna/set/images/1.jpg``, or with backslashes).

    Args:
        written: The path as it stands in the file.
        bases: Folders that it may be relative to, the likeliest first.
        least: Names that must be left of it where leading folders are passed over: a lone name
            may be that of another file.
    """
    as_is = written.replace("\\", "/")
    for base in bases:
        if is_there(base / as_is):
            return base / as_is
    parts = [part for part in as_is.split("/") if part not in ("", ".", "..")]
    for first in range(max(len(parts) - least + 1, min(len(parts), 1))):
        for base in bases:
            if is_there(inside := base.joinpath(*parts[first:])):
                return inside
    return None
