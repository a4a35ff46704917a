"""Which data weights were trained on: told by their card, and known again wherever they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def digest_of(files: Iterable[str | Path], base: Path, truth: Iterable[str | bytes] = ()) -> str:
    """Of the images' paths below a folder, and bytes (-1 of no file), and of what is true of them.

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
    """What a card keeps of data: of their path the last name alone, for it is published."""
    told = {"name": path.resolve().name, "held_out": held_out}
    return told if digest is None else {**told, "digest": digest}


def known_part(
    path: Path, told: dict[str, Any], digest: Callable[[], str], shown: Path, whose: str = ""
) -> tuple[bool, str] | None:
    """What is measured of data that weights were trained on, wherever they lie now.

    Args:
        path: Data, as cards tell it that are older and tell no digest.
        told: The card's ``trained_on``.
        digest: Finds that of the data, made as the card's.
        shown: What the user named.
        whose: Images were held out: ``"the authors of "``.

    Returns:
        Whether all of it, and words; None for other data.
    """
    known = "held_out" in told and told.get("path") == str(path.resolve())
    try:
        if not known and ("digest" not in told or digest() != told["digest"]):
            return None
    except ValueError:  # Nothing can have been held out of such data.
        return None
    if not told["held_out"]:
        said = "on which the weights were trained: figures tell what was learnt by heart"
        return True, f"all of {shown}, {said}"
    said = "the others have been trained on; --split all takes them too"
    return False, f"the fifth of {whose}{shown} that was held out; {said}"


def doubt_of(path: Path, told: dict[str, Any]) -> str:
    """What is to be said of data that are not known; empty where nothing is."""
    if "name" not in told:
        return "the weights do not tell what they were trained on"
    if told.get("name") == path.resolve().name:
        return "the weights were trained on data of that name, but not on just these"
    return ""
