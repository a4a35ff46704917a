"""The data that weights were trained on: stored in their card, and recognised anywhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def digest_of(files: Iterable[str | Path], base: Path, truth: Iterable[str | bytes] = ()) -> str:
    """Digest of the images' paths below a folder, their sizes (-1 if missing), and their labels.

    Pixels are not read: a hundred thousand images take a second or two.
    """
    digest = hashlib.sha256()
    for file in files:
        size = os.path.getsize(file) if os.path.isfile(file) else -1  # noqa: PTH113, PTH202
        name = os.path.relpath(file, base)
        try:
            digest.update(os.fsencode(f"{name} {size}\n"))
        except UnicodeEncodeError:  # An annotation can name what no file can be called.
            digest.update(f"{name} {size}\n".encode(errors="backslashreplace"))
    for row in truth:
        digest.update(os.fsencode(row) + b"\n")
    return digest.hexdigest()


def tell_data(path: Path, *, held_out: bool, digest: str | None) -> dict[str, Any]:
    """What a card stores about data; only the last part of its path, as it is public."""
    told = {"name": path.resolve().name, "held_out": held_out}
    return told if digest is None else {**told, "digest": digest}


def known_part(
    path: Path, told: dict[str, Any], digest: Callable[[], str], shown: Path, whose: str = ""
) -> tuple[bool, str] | None:
    """The part to evaluate on of data that weights were trained on, wherever it is now.

    Args:
        path: Data, as older cards without a digest name it.
        told: The card's ``trained_on``.
        digest: Function that computes the data's digest, made like the card's.
        shown: Path that the user gave.
        whose: Owners of images that were held out: ``"the authors of "``.

    Returns:
        Whether all of it is used, and a description; None for other data.
    """
    known = "held_out" in told and told.get("path") == str(path.resolve())
    try:
        if not known and ("digest" not in told or digest() != told["digest"]):
            return None
    except ValueError:  # Nothing can have been held out of such data.
        return None
    if not told["held_out"]:
        said = "on which the weights were trained: the figures show what was memorised"
        return True, f"all of {shown}, {said}"
    said = "the others have been trained on; --split all takes them too"
    return False, f"the fifth of {whose}{shown} that was held out; {said}"


def doubt_of(path: Path, told: dict[str, Any]) -> str:
    """Doubt about data that is not recognised; empty if there is none."""
    if "name" not in told:
        return "the weights do not state what they were trained on"
    if told.get("name") == path.resolve().name:
        return "the weights were trained on data of that name, but not on just these"
    return ""
