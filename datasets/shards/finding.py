"""Finds tar shards: in folders, in folders of parts, and by patterns of their names."""

from __future__ import annotations

import re
from pathlib import Path

from datasets.errors import InputError
from datasets.images import is_passed_over
from datasets.names import entries_like, is_file, is_there
from datasets.part_names import part_folders

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 1_000_000


def holds_shards(path: Path) -> bool:
    """Whether a path is a pattern of shards, a shard, or a folder of shards or of their parts."""
    if path.suffix.lower() == ".tar":
        return True
    return path.is_dir() and bool(tars_in(path) or find_shard_parts(path))


def find_shard_parts(path: Path) -> dict[str, Path]:
    """Folders of shards by split; empty if they have no parts."""
    found = {}
    for split, folders in part_folders(path).items():
        holding = [folder for folder in folders if tars_in(folder)]
        if holding:
            found[split] = holding[0]
    return found


def tars_in(folder: Path) -> list[Path]:
    """Shards in a folder, sorted."""
    return [f for f in entries_like(folder, "*.tar") if not is_passed_over(f.name) and is_file(f)]


def is_pattern(path: Path) -> bool:
    """Whether a path names several shards by their numbers: ``train-{000000..000009}.tar``."""
    return path.suffix.lower() == ".tar" and bool(_BRACES.search(str(path))) and not is_there(path)


def expand(path: str | Path) -> tuple[Path, ...]:
    """The shards that a pattern, a folder, or a file name stands for.

    Args:
        path: Pattern, folder or file.

    Raises:
        InputError: If there are none, or one of a pattern's is missing.
    """
    pattern = str(path)
    braces = _BRACES.search(pattern)
    if braces:
        first, last = braces.groups()
        if int(last) - int(first) >= _MOST_SHARDS:
            raise InputError(f"{pattern}: names over {_MOST_SHARDS} shards")
        names = [str(k).zfill(len(first)) for k in range(int(first), int(last) + 1)]
        shards = [Path(pattern.replace(braces[0], name, 1)) for name in names]
    else:
        path = Path(pattern)
        shards = tars_in(path) if path.is_dir() else [path]
    if not shards:
        raise InputError(f"{pattern}: no .tar shards there")
    missing = [shard for shard in shards if not is_file(shard)]
    if missing:
        raise InputError(f"{missing[0]}: the shard is missing ({len(missing)} of {len(shards)})")
    return tuple(shards)
