"""Built-in data sets on disk: drawn once, complete or absent, and never over a user's files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.json_files import read_json
from datasets.locks import holding, remove_unfinished, unfinished


def make_once(
    root: Path, stamp_name: str, wanted: dict[str, Any], fill: Callable[[Path], None]
) -> Path:
    """Make a folder unless this very one already exists.

    It is filled under a temporary name and renamed at the end, so that a data set is complete or
    absent. Among several processes one makes it, and the others wait.

    Args:
        root: Folder to make.
        stamp_name: Name of a file in it that describes, as JSON, what was made: ``wanted``.
        wanted: Description of what to make.
        fill: Function that writes the files below an empty folder.

    Raises:
        InputError: If ``root`` holds something else.
    """
    stamp = root / stamp_name
    if _says(stamp, wanted):
        return root
    with holding(root.with_name(f".{root.name}.lock"), str(root), wait=True):
        if _says(stamp, wanted):
            return root  # Another process has made it meanwhile.
        if root.exists() and not stamp.exists() and any(root.iterdir()):
            raise InputError(
                f"{root}: holds something else than built-in {stamp.stem}; move it away"
            )
        remove_unfinished(root.parent, root.name)
        beside = root.with_name(unfinished(root.name))
        shutil.rmtree(beside, ignore_errors=True)  # Of a killed process of this very number.
        try:
            beside.mkdir()
            fill(beside)
            (beside / stamp_name).write_text(json.dumps(wanted), encoding="utf-8")
            shutil.rmtree(root, ignore_errors=True)
            beside.rename(root)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return root


def _says(stamp: Path, wanted: dict[str, Any]) -> bool:
    return stamp.exists() and read_json(stamp) == wanted
