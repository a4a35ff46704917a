"""Which photos of a list or folder a geolocator is measured on, and what it was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.images import find_images
from datasets.positions.opening import Part, find_parts
from tasks.weights.card import Card


def trained_on(path: Path, *, whole: bool) -> dict[str, Any]:
    """What a card keeps of the data that weights are trained on, to know them again.

    Args:
        path: List or folder.
        whole: All of it is trained on, where it is not parted.

    Returns:
        ``path``, resolved; ``digest`` of the list's lines, or of the names and sizes of a
        folder's photos; and ``held_out``, whether a fifth of the authors was held out of it.
    """
    parts = find_parts(path)
    part = parts.get("train") or next(iter(parts.values()))
    return {
        "path": str(part.path.resolve()),
        "digest": _digest(part.path),
        "held_out": len(parts) == 1 and not whole,
    }


def _digest(path: Path) -> str:
    """Of a list's lines, however they end, or of the names and sizes of a folder's photos."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as lines:
            for line in lines:
                if text := line.strip():
                    digest.update(text + b"\n")
    else:
        for file in find_images(path):
            inside = file.relative_to(path).as_posix()
            digest.update(f"{inside} {file.stat().st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _was_trained_on(parts: dict[str, Part], told: dict[str, Any]) -> bool:
    """Whether one of some parts is what a card tells: there still, or a copy of it."""
    paths = {part.path for part in parts.values()}
    return any(str(path.resolve()) == told["path"] for path in paths) or any(
        _digest(path) == told["digest"] for path in paths
    )


def part_to_measure(path: Path, card: Card) -> tuple[bool, str]:
    """What is measured of data where no part of it was asked for.

    Of a set that has a part to validate on, that part. Of a list without parts all, for it may be
    a benchmark; but of one that the weights were trained on, or a copy of it, the authors that
    were held out, as of a folder.

    Args:
        path: List or folder.
        card: Of the weights, which tells what they were trained on.

    Returns:
        Whether all of a set that is not parted, and a sentence about it.

    Raises:
        InputError: If the path is not there, or is none of these.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    parts = find_parts(path)
    if len(parts) == 2:
        return False, f"the part of {path} to validate on; --split train takes the other"
    told = card.trained_on
    if not told or not _was_trained_on(parts, told):
        unknown = "" if told else " (the weights do not tell what they were trained on)"
        if path.is_file():
            return True, f"all of {path}; --split val takes a fifth of its authors{unknown}"
        return False, f"a fifth of the authors of {path}; --split all takes all of it{unknown}"
    if not told["held_out"]:
        said = "on which the weights were trained: figures tell what was learnt by heart"
        return True, f"all of {path}, {said}"
    said = "the others have been trained on; --split all takes them too"
    return False, f"the fifth of the authors of {path} that was held out; {said}"
