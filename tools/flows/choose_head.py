"""Which model is meant where a run or an export holds several heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from configs.tools import Evaluate, Predict
from datasets.errors import InputError
from tasks.applications import original_application
from tasks.multitask.spec import TASK
from tasks.runtime.open import is_export, read_card
from tasks.weights.names import HEADS_FOLDER, WEIGHTS_NAME

Args = TypeVar("Args", Evaluate, Predict)


def choose_head(args: Args) -> tuple[Args, str]:
    """What is asked, and of which task it is.

    Of a run of train_multi.py the file of the head takes the place of the run, and is like any
    weights file of its task; an export stays.

    Raises:
        InputError: If the weights hold several heads and none is chosen, or not that one, or no
            heads at all.
    """
    weights, head = args.weights, args.head
    original = original_application(weights)
    if original is not None:
        return _alone(args, original.name)
    card = read_card(weights)
    if card.task != TASK:
        return _alone(args, card.task)
    there = card.model["heads"]
    if head is None or head not in there:
        what = "has several heads" if head is None else f"has no head {head!r}"
        raise InputError(f"{weights}: {what}; choose one by --head: {', '.join(there)}")
    if not is_export(weights):
        args = replace(args, weights=head_file(weights, head))
    return args, there[head]["task"]


def _alone(args: Args, task: str) -> tuple[Args, str]:
    if args.head is not None:
        raise InputError(f"--head {args.head}: {args.weights} is for {task} alone")
    return args, task


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
