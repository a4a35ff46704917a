"""Which file a path means, where it is a folder, a run of several heads, or a name on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from datasets.errors import InputError
from datasets.names import shown
from tasks.applications import original_application
from tasks.multitask.spec import TASK as MULTITASK
from tasks.runtime.open import is_export, read_card
from tasks.runtime.runtimes import RUNTIMES, runtime_of
from tasks.weights.names import HEADS_FOLDER, WEIGHTS_NAME

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(path: Path) -> Path:
    """The run folder or file that a path means.

    A folder means the run in it, or else the one weights file or export that lies in it.

    Raises:
        InputError: If there is nothing, or a folder holds no model or several and no run.
    """
    if not path.exists():
        text = str(path)
        hint = ""
        if text.startswith("hf-hub:") or _HUB_NAME.fullmatch(text):
            hint = "; a model on the Hugging Face Hub is fetched only with hub=True"
        raise InputError(f"{shown(path)}: no such file or folder{hint}")
    if not path.is_dir() or runtime_of(path) is not None or (path / WEIGHTS_NAME).exists():
        return path
    inside = sorted(one for one in path.iterdir() if _may_be_model(one))
    if len(inside) == 1:
        return inside[0]
    if inside:
        names = ", ".join(shown(one.name) for one in inside)
        raise InputError(f"{shown(path)}: holds {len(inside)} models; name one of them: {names}")
    suffixes = ", ".join(one.suffix for one in RUNTIMES)
    raise InputError(
        f"{shown(path)}: holds no model: neither {WEIGHTS_NAME}, as a finished run does, nor "
        f"another .safetensors file or an export ({suffixes})"
    )


def _may_be_model(path: Path) -> bool:
    runtime = runtime_of(path)
    if runtime is None:
        return path.suffix == ".safetensors" and path.is_file()
    return path.is_dir() if runtime.folder else path.is_file()


def file_of_head(weights: Path, head: str | None, ask: str = "--head ") -> tuple[Path, str | None]:
    """The model that answers, where a run or an export holds several heads.

    Args:
        weights: Run folder, weights file or export.
        head: The head that is asked for; None if none is.
        ask: How the user names a head, for messages.

    Returns:
        The file to open, and the head to choose within it. Of a run of several heads it is the
        head's own file, which is like any weights file of its task; an export stays.

    Raises:
        InputError: If the weights hold several heads and none is chosen, or not that one, or no
            heads at all.
    """
    original = original_application(weights)
    task = read_card(weights).task if original is None else original.name
    if task != MULTITASK:
        if head is not None:
            raise InputError(f"{ask}{head}: {weights} is for {task} alone")
        return weights, None
    there = read_card(weights).model["heads"]
    if head is None or head not in there:
        what = "has several heads" if head is None else f"has no head {head!r}"
        raise InputError(f"{weights}: {what}; choose one by {ask.strip()}: {', '.join(there)}")
    return (weights, head) if is_export(weights) else (head_file(weights, head), None)


def head_file(weights: Path, head: str) -> Path:
    """The file of a head. Raises InputError if it is not there."""
    folder = weights if weights.is_dir() else weights.parent
    file = folder / HEADS_FOLDER / f"{head}.safetensors"
    if not file.exists():
        raise InputError(
            f"{file}: not there: an unfinished run (train_multi.py --resume) has no "
            f"{HEADS_FOLDER}/ yet, and a finished one's belongs beside {WEIGHTS_NAME}"
        )
    return file
