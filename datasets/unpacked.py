"""The folder that unpackers put into one of its name, and these into another."""

from __future__ import annotations

from pathlib import Path

from datasets.images import is_passed_over

_DEEPEST = 12


def unpacked(path: Path) -> Path:
    """The folder at the end of folders that hold one folder each and nothing else; or the path."""
    for _ in range(_DEEPEST):
        entries = [one for one in path.iterdir() if not is_passed_over(one.name)]
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            break
        path = entries[0]
    return path
