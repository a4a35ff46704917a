"""Built-in sets on disk: drawn once, whole or not there, and never over somebody's files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.json_files import read_json


def make_once(
    root: Path, stamp_name: str, wanted: dict[str, Any], fill: Callable[[Path], None]
) -> Path:
    """Make a folder unless this very one is there already.

    It is filled beside and renamed at the end, so that a set is whole or not there.

    Args:
        root: Folder to make.
        stamp_name: File in it that says, as JSON, what was made: ``wanted``.
        wanted: What is to be made.
        fill: Writes the files below an empty folder.

    Raises:
        InputError: If ``root`` holds something else.
    """
    stamp = root / stamp_name
    if _says(stamp, wanted):
        return root
    if root.exists() and not stamp.exists() and any(root.iterdir()):
        raise InputError(f"{root}: holds something else than built-in {stamp.stem}; move it away")
    root.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        fill(beside)
        (beside / stamp_name).write_text(json.dumps(wanted), encoding="utf-8")
        if _says(stamp, wanted):
            return root  # Another process was faster.
        shutil.rmtree(root, ignore_errors=True)
        beside.chmod(0o755)
        beside.rename(root)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return root


def _says(stamp: Path, wanted: dict[str, Any]) -> bool:
    return stamp.exists() and read_json(stamp) == wanted
