"""Which photos a classifier is measured on, and what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.tools import Evaluate
from datasets.labels.opening import is_sharded, open_labelled, recognise_labelled
from tasks.weights.card import Card
from tools.flows.trained_on import (
    digest_of,
    doubt_of,
    names_and_sizes,
    part_of_known,
    tell_data,
    was_trained_on,
)


def trained_on(path: Path, *, whole: bool) -> dict[str, Any]:
    """What a card keeps of data trained on, ``whole`` if none is held out; nothing of shards."""
    if is_sharded(path):
        return {}
    lone = _is_lone(path)
    digest = _digest(path, whole=whole) if lone else None
    return tell_data(path, held_out=lone and not whole, digest=digest)


def _is_lone(path: Path) -> bool:
    recognised = recognise_labelled(path)
    return recognised is not None and len(recognised[1]) == 1


def _digest(path: Path, *, whole: bool) -> str:
    """Of the photos that are trained on, of a set that is not parted."""
    files = open_labelled(path, "train", whole=whole).files.tolist()
    return digest_of(names_and_sizes(files, path if path.is_dir() else path.parent))


def part_to_measure(args: Evaluate, path: Path, card: Card) -> tuple[bool, str]:
    """What is measured of labelled data.

    Of a set with a part to validate on, that part. Of another one all; but of one that the
    weights were trained on, or a copy of it, the photos that were held out. Told are whether it
    is all of a set that is not parted, and words for it.
    """
    if is_sharded(path):
        return True, f"shards of {path}"
    if not _is_lone(path) or args.split not in (None, "val"):
        part = args.split or "val"
        return False, f"all of {path}" if part == "all" else f"the part {part!r} of {path}"
    if args.split is not None:
        return False, f"a fifth of {path}, as --split val asks for"
    told = card.trained_on
    if was_trained_on(path, told, lambda: _digest(path, whole=not told["held_out"])):
        return part_of_known(path, told)
    doubt = doubt_of(path, told)
    return True, f"all of {path}" + (f"; {doubt}" if doubt else "")
