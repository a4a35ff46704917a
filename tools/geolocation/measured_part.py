"""The images of a list or folder to evaluate a geolocator on, and its training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.images import find_images
from datasets.positions.opening import find_parts
from datasets.spec import Split
from datasets.splitting import tell_part
from tasks.weights.card import Card
from tools.flows.trained_on import digest_of, doubt_of, known_part, tell_data


def trained_on(path: Path, *, whole: bool) -> dict[str, Any]:
    """What a card stores about a training list or folder; ``whole`` if no fifth is held out."""
    parts = find_parts(path)
    part = parts.get("train") or next(iter(parts.values()))
    held_out = len(parts) == 1 and not whole
    return tell_data(part.path, held_out=held_out, digest=_digest(part.path))


def _digest(path: Path) -> str:
    """Digest of a list's lines, whatever their ends, or of a folder's images."""
    if not path.is_file():
        return digest_of(find_images(path), path)
    with path.open("rb") as lines:
        return digest_of([], path, (text for line in lines if (text := line.strip())))


def part_to_measure(path: Path, card: Card, asked: Split | None = None) -> tuple[bool, str]:
    """The part of the data to evaluate on: the requested one, if any.

    Otherwise it is the validation part. A list without parts is used whole, because it may be a
    benchmark; but if the weights were trained on it, or on a copy of it, the authors that were
    held out are used, as with a folder.

    Args:
        path: List or folder.
        card: Card of the model.
        asked: Requested part.

    Returns:
        Whether it is all of a data set without parts, and a sentence about it.

    Raises:
        InputError: If the path does not exist, or is neither.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    parts = find_parts(path)
    if asked is not None or len(parts) > 1:
        whose = "the authors of "
        return False, tell_part(path, asked or "val", parts, whose=whose, hint=asked is None)
    (part,) = parts.values()
    told = card.trained_on
    known = known_part(part.path, told, lambda: _digest(part.path), path, "the authors of ")
    if known is not None:
        return known
    doubt = doubt_of(part.path, told)
    said = f" ({doubt})" if doubt else ""
    if path.is_file():
        return True, f"all of {path}; --split val takes a fifth of its authors{said}"
    return False, f"a fifth of the authors of {path}; --split all takes all of it{said}"
