"""Opens the model that a command line names. Nothing here imports torch: exports need none."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from configs.tools import Evaluate, Predict
from datasets.errors import InputError
from tasks.find_model import file_of_head
from tasks.open_model import open_any
from tasks.predictor import Model
from tasks.runtime.open import is_export
from tasks.runtime.runtimes import runtime_of
from tasks.weights.names import WEIGHTS_NAME

Args = TypeVar("Args", Evaluate, Predict)


def choose_head(args: Args) -> Args:
    """Choose the model if a run or an export contains several heads.

    For a run of train_multi.py the file of the head replaces the run, and is like any weights file
    of its task; an export stays.

    Args:
        args: Flags with the weights and the head.

    Returns:
        The flags, with the file of the head as weights.

    Raises:
        InputError: If the weights contain several heads and none is chosen, or not that one, or no
            heads at all.
    """
    weights, _ = file_of_head(args.weights, args.head)
    return args if weights == args.weights else replace(args, weights=weights)


def open_to_answer(args: Any) -> Model:
    """The model that the flags name. Raises InputError if a flag has no effect for it."""
    threads = args.common.threads or None
    model = open_any(
        args.weights, args.options, threads=threads, head=args.head, labels=args.labels
    )
    application = model.application
    args.refuse_unless(application.flags, application.name)
    for fixed, reason in application.fixed.items() if model.export is not None else ():
        args.refuse_unless([flag for flag in application.flags if flag != fixed], reason)
    if model.export is not None and args.common.device not in ("auto", "cpu"):
        raise InputError(f"--device {args.common.device}: exports are run on the CPU")
    return model


def digest_of(weights: Path) -> str:
    """SHA-256 of the files of a model, to recognise it again."""
    runtime = runtime_of(weights) if is_export(weights) else None
    if runtime is not None:
        named = runtime.files(weights)
        files = sorted(one for file in named for one in (file, *file.rglob("*")) if one.is_file())
    else:
        files = [weights / WEIGHTS_NAME if weights.is_dir() else weights]
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()
