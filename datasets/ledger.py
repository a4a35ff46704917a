"""What became of every file below a path: used, or passed over for a reason that is told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets.images import SUFFIXES, UNREAD_SUFFIXES, is_passed_over
from datasets.names import shown

LEFT_BEHIND = "hidden, or left behind by a system or an unpacker"
NOT_READ = "pictures of kinds that are not read"
NOT_LISTED = "pictures that no class, list or annotation names"
NO_PART = "files that are neither pictures nor annotation"
DAMAGED = "pictures that cannot be read"
# Files that are named for each reason.
_EXAMPLES = 3


@dataclass
class PassedOver:
    """The files that one reason holds for.

    Attributes:
        count: How many.
        kinds: How many by suffix.
        examples: The first of them, below the path.
    """

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count a file by its path below the set's."""
        self.count += 1
        self.kinds[os.path.splitext(name)[1].lower()] += 1  # noqa: PTH122 (millions of names)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(shown(name))


@dataclass(frozen=True)
class Ledger:
    """The files below a path; ``seen == pictures + annotations + passed over``.

    Attributes:
        root: The path: a folder.
        seen: Files below it.
        pictures: Those that are used as pictures.
        annotations: Those that are used as annotation.
        passed_over: The others by reason.
        elsewhere: Pictures that are used and lie elsewhere, or behind a link.
    """

    root: Path
    seen: int
    pictures: int
    annotations: int
    passed_over: Mapping[str, PassedOver]
    elsewhere: int = 0

    def line(self) -> str:
        """All of it in one line."""
        used = f"{self.pictures} used as pictures, {self.annotations} as annotation"
        far = f" (and {self.elsewhere} pictures elsewhere)" if self.elsewhere else ""
        lost = sum(one.count for one in self.passed_over.values())
        reasons = [
            f"{one.count} {reason} ({_some(one)})" for reason, one in self.passed_over.items()
        ]
        told = f": {'; '.join(reasons)}" if reasons else ""
        return f"{self.seen} files below {shown(self.root)}: {used}{far}, {lost} passed over{told}"

    def to_json(self) -> dict[str, Any]:
        """As a table."""
        return {
            "seen": self.seen,
            "pictures": self.pictures,
            "annotations": self.annotations,
            "pictures_elsewhere": self.elsewhere,
            "passed_over": {
                reason: {"files": one.count, "suffixes": dict(one.kinds), "first": one.examples}
                for reason, one in self.passed_over.items()
            },
        }


def _some(one: PassedOver) -> str:
    return f"{', '.join(one.examples)}{', ...' if one.count > len(one.examples) else ''}"


def account(
    root: Path,
    pictures: Iterable[str],
    annotations: Iterable[Path],
    damaged: Iterable[str] = (),
) -> Ledger:
    """Walk through all files below a folder and say what each is used as.

    Args:
        root: The folder; of a list that was named, the folder that it lies in.
        pictures: Paths of the pictures that the set uses.
        annotations: Files that tell of them.
        damaged: Those of the pictures that had to be left out.
    """
    base = os.path.abspath(root)  # noqa: PTH100 (links must stay as they are)
    lost = {_within(file) for file in damaged}
    used = {_within(file) for file in pictures} - lost
    told = {_within(str(file)) for file in annotations} - used
    seen, as_picture, as_annotation = 0, 0, 0
    passed_over: dict[str, PassedOver] = {}
    for folder, _, names in os.walk(base, followlinks=False):
        inside = os.path.relpath(folder, base)
        prefix = "" if inside == "." else f"{inside}{os.sep}"
        for name in sorted(names):
            seen += 1
            path = f"{folder}{os.sep}{name}"
            if path in used:
                as_picture += 1
            elif path in told:
                as_annotation += 1
            else:
                reason = DAMAGED if path in lost else _reason(f"{prefix}{name}")
                passed_over.setdefault(reason, PassedOver()).add(f"{prefix}{name}")
    ordered = dict(sorted(passed_over.items(), key=lambda row: -row[1].count))
    return Ledger(root, seen, as_picture, as_annotation, ordered, len(used) - as_picture)


def _within(file: str) -> str:
    return os.path.abspath(file)  # noqa: PTH100 (links must stay as they are)


def _reason(name: str) -> str:
    """Why a file that nothing uses is passed over."""
    if any(map(is_passed_over, Path(name).parts)):
        return LEFT_BEHIND
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (millions of names)
    if suffix in UNREAD_SUFFIXES:
        return NOT_READ
    return NOT_LISTED if suffix in SUFFIXES else NO_PART
