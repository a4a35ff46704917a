"""Which data weights were trained on: told by their card, and known again wherever they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


def digest_of(rows: Iterable[str | bytes]) -> str:
    """Of what tells a set of data from others: a row for each photo, or line of a list."""
    digest = hashlib.sha256()
    for row in rows:
        try:
            told = os.fsencode(row)
        except UnicodeEncodeError:  # An annotation can name what no file can be called.
            told = str(row).encode(errors="backslashreplace")
        digest.update(told + b"\n")
    return digest.hexdigest()


def names_and_sizes(files: Iterable[str | Path], base: Path) -> Iterator[str]:
    """A row for each photo: its path below a folder, and its bytes, -1 where it is no file."""
    for file in files:
        size = os.path.getsize(file) if os.path.isfile(file) else -1  # noqa: PTH113, PTH202
        yield f"{os.path.relpath(file, base)} {size}"


def tell_data(path: Path, *, held_out: bool, digest: str | None) -> dict[str, Any]:
    """What a card keeps of data: of their path the last name alone, for it is published."""
    told = {"name": path.resolve().name, "held_out": held_out}
    return told if digest is None else {**told, "digest": digest}


def was_trained_on(path: Path, told: dict[str, Any], digest: Callable[[], str]) -> bool:
    """Whether data, of this digest, are those that a card tells of; older ones tell their path."""
    if "held_out" in told and told.get("path") == str(path.resolve()):
        return True
    try:
        return "digest" in told and digest() == told["digest"]
    except ValueError:  # Nothing can have been held out of such data.
        return False


def part_of_known(path: Path, told: dict[str, Any], whose: str = "") -> tuple[bool, str]:
    """Whether all of data that weights were trained on is measured, and words for what is."""
    if not told["held_out"]:
        said = "on which the weights were trained: figures tell what was learnt by heart"
        return True, f"all of {path}, {said}"
    said = "the others have been trained on; --split all takes them too"
    return False, f"the fifth of {whose}{path} that was held out; {said}"


def doubt_of(path: Path, told: dict[str, Any]) -> str:
    """What is to be said of data that are not known; empty where nothing is."""
    if not told:
        return "the weights do not tell what they were trained on"
    if told.get("name") == path.resolve().name:
        return "the weights were trained on data of that name, but not on just these"
    return ""
