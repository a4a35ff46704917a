"""Trainings within a run, and their progress: finished ones are neither lost nor repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.json_files import read_object
from tasks.fitting.checkpoint import LAST_NAME
from tasks.fitting.history import METRICS_NAME
from tasks.fitting.stopwatch import REPORT_NAME
from tasks.weights.names import WEIGHTS_NAME

# File that a training writes only after its first checkpoint.
_RESULTS = (WEIGHTS_NAME, METRICS_NAME, REPORT_NAME)


def is_begun(folder: Path) -> bool:
    """Whether a training has a checkpoint in its folder to continue from.

    One that was ended before its first checkpoint starts again, with the same result.

    Args:
        folder: Folder of the training.

    Raises:
        InputError: If there are results, but no checkpoint that they belong to.
    """
    if (folder / LAST_NAME).exists():
        return True
    for name in _RESULTS:
        if (folder / name).exists():
            raise InputError(
                f"{folder}: no {LAST_NAME} to resume from, and beginning anew would write over "
                f"{folder / name}: restore the checkpoint, or start another run, from "
                f"{WEIGHTS_NAME} by --weights if it is there; to train this one anew, move "
                "its folder away"
            )
    return False


def read_report(folder: Path, *fields: str) -> dict[str, Any] | None:
    """The report of a finished training; None if there is none.

    Raises:
        InputError: If it is damaged, or lacks one of some fields.
    """
    return read_record(folder / REPORT_NAME, *fields)


def read_record(file: Path, *fields: str) -> dict[str, Any] | None:
    """The record that a part of a run wrote when it was finished; None if there is no such file.

    Raises:
        InputError: If it is damaged, or lacks one of some fields.
    """
    if not file.exists():
        return None
    try:
        found = read_object(file)
        lacking = [name for name in fields if name not in found.values]
    except InputError as error:
        raise InputError(f"{error}; delete {file}, and it is made again") from error
    if lacking:
        raise InputError(f"{file}: no field {lacking[0]!r}; delete it, and it is made again")
    return dict(found.values)
