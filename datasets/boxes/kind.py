"""Boxes, as the doors see them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from datasets.boxes.checking import examine
from datasets.boxes.opening import (
    LAYOUTS,
    READERS,
    open_detection,
    open_parts,
    recognise_detection,
)
from datasets.boxes.structure import DetectionData
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.findings import Examination
from datasets.kind import CheckOptions, DataKind


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    del named  # Annotations of boxes are nothing else.
    found = recognise_detection(path)
    return None if found is None else tuple(found[1])


def _examine(
    path: Path, parts: tuple[str, ...], options: CheckOptions
) -> Examination[DetectionData]:
    split, beside = options.choose(parts)
    anchors = None if options.anchors is None else options.anchors()
    return examine(
        open_detection(path, split),
        anchors,
        decode=options.decode,
        keep_aspect=options.keep_aspect,
        copies=True,
        other=None if beside is None else open_detection(path, beside),
    )


BOXES = DataKind(
    name="boxes",
    task="detection",
    layouts=f"A detection data set holds either {LAYOUTS}.",
    find_parts=_find_parts,
    examine=_examine,
    options=frozenset({"anchors", "keep_aspect"}),
    shares_files=True,
    formats=tuple(READERS),
    open_parts=open_parts,
    targets={name: partial(write_boxes, target) for name, target in TARGETS.items()},
)
