"""Which photos a classifier is measured on, and what it was trained on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from configs.tools import Evaluate
from datasets.labels.opening import is_sharded, open_labelled, recognise_labelled
from tasks.weights.card import Card


def trained_on(path: Path, *, whole: bool) -> dict[str, Any]:
    """What a card keeps of the data that weights are trained on, to know them again.

    Args:
        path: Data set.
        whole: All of it is trained on, where it is not parted.

    Returns:
        ``path``, resolved; ``held_out``, whether a fifth of the photos was held out of it; and
        then ``digest`` of the names and sizes of the others. Empty for shards.
    """
    if is_sharded(path):
        return {}
    held_out = _is_lone(path) and not whole
    told: dict[str, Any] = {"path": str(path.resolve()), "held_out": held_out}
    return {**told, "digest": _digest(path)} if held_out else told


def _is_lone(path: Path) -> bool:
    recognised = recognise_labelled(path)
    return recognised is not None and len(recognised[1]) == 1


def _digest(path: Path) -> str:
    """Of the names and sizes of the photos that are trained on, of a set that is not parted."""
    digest = hashlib.sha256()
    base = path if path.is_dir() else path.parent
    for file in open_labelled(path, "train").files.tolist():
        size = os.path.getsize(file) if os.path.isfile(file) else -1  # noqa: PTH113, PTH202
        digest.update(os.fsencode(f"{os.path.relpath(file, base)} {size}\n"))
    return digest.hexdigest()


def part_to_measure(args: Evaluate, path: Path, card: Card) -> tuple[bool, str]:
    """What is measured of labelled data.

    Of a set with a part to validate on, that part. Of another one all; but of one that the
    weights were trained on, or a copy of it, the photos that were held out.

    Args:
        args: May ask for a part.
        path: Data set or shards.
        card: Of the weights, which tells what they were trained on.

    Returns:
        Whether all of a set that is not parted, and words for what is measured.
    """
    if is_sharded(path):
        return True, f"shards of {path}"
    lone = _is_lone(path)
    if not lone or args.split not in (None, "val"):
        part = args.split or "val"
        return False, f"all of {path}" if part == "all" else f"the part {part!r} of {path}"
    if args.split is not None:
        return False, f"a fifth of {path}, as --split val asks for"
    told = card.trained_on
    unknown = "" if told else "; the weights do not tell what they were trained on"
    if "held_out" not in told or not _was_trained_on(path, told):
        return True, f"all of {path}{unknown}"
    if not told["held_out"]:
        said = "on which the weights were trained: figures tell what was learnt by heart"
        return True, f"all of {path}, {said}"
    said = "the others have been trained on; --split all takes them too"
    return False, f"the fifth of {path} that was held out; {said}"


def _was_trained_on(path: Path, told: dict[str, Any]) -> bool:
    """Whether a set is the one that a card tells of: there still, or a copy of it."""
    if str(path.resolve()) == told["path"]:
        return True
    try:
        return bool(told["held_out"]) and _digest(path) == told["digest"]
    except ValueError:  # No class has two photos, so nothing can have been held out.
        return False
