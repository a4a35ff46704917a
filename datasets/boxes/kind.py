"""Boxes, as the doors see them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets.boxes.checking import examine
from datasets.boxes.opening import (
    FORMATS,
    LAYOUTS,
    nearest_format,
    open_detection,
    open_parts,
    recognise_detection,
)
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Hints
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.findings import Examination, Finding
from datasets.images import pictures_below
from datasets.kind import CheckOptions, DataKind
from datasets.part_names import part_folders


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    del named  # Annotations of boxes are nothing else.
    found = recognise_detection(path)
    return None if found is None else tuple(found.claim.parts)


def _examine(
    path: Path, parts: tuple[str, ...], options: CheckOptions
) -> Examination[DetectionData]:
    hints = Hints(options.format, options.images)
    if not parts and (found := recognise_detection(path, hints)) is not None:
        parts = tuple(found.claim.parts)
    split, beside = options.choose(parts)
    anchors = None if options.anchors is None else options.anchors()
    data = open_detection(path, split, hints=hints)
    other = None if beside is None else open_detection(path, beside, hints=hints)
    checkup = examine(
        data,
        anchors,
        decode=options.decode,
        keep_aspect=options.keep_aspect,
        copies=True,
        other=other,
    )
    return checkup if other is None else checkup.with_findings(_unread(path, data, other))


def _unread(path: Path, *parts: DetectionData) -> Iterator[Finding]:
    """Folders that are parts of a set, but whose pictures stand in none of those that are read."""
    files = [file for part in parts for file in part.files.tolist()]
    for folder in (one for folders in part_folders(path).values() for one in folders):
        within = f"{folder}{os.sep}"
        is_read = any(file.startswith(within) for file in files)
        if not is_read and any(pictures_below(folder, first=True)):
            detail = "one part is trained on and one validated on, and this is a third"
            yield Finding("part not read", "dropped", str(folder), None, detail)


BOXES = DataKind(
    name="boxes",
    task="detection",
    layouts=f"A detection data set holds {LAYOUTS}.",
    find_parts=_find_parts,
    examine=_examine,
    options=frozenset({"anchors", "keep_aspect", "format", "images"}),
    shares_files=True,
    nearest=nearest_format,
    formats=tuple(one.title for one in FORMATS),
    open_parts=open_parts,
    targets={name: partial(write_boxes, target) for name, target in TARGETS.items()},
)
