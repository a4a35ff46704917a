"""Boxes, as the doors see them."""

from __future__ import annotations

from collections.abc import Mapping
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
from datasets.boxes.shapes import keeping_shapes
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Hints, count_described
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.claims import Strength
from datasets.findings import Examination
from datasets.kind import CheckOptions, DataKind
from datasets.shards.finding import is_pattern


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    del named  # Annotations of boxes are nothing else.
    if not path.exists() and not is_pattern(path):
        return None
    found = recognise_detection(path)
    return None if found is None else tuple(found.claim.parts)


def _doubt(path: Path) -> str:
    """Why a path may not be boxes: files per image describe less than a third of them, or none.

    Half of the Oxford pets have boxes, and all of them labels.
    """
    found = recognise_detection(path) if path.is_dir() else None
    if found is not None and found.claim.format == "yolo" and not count_described(path)[0]:
        return f"{found.claim.evidence}, but no label file belongs to an image"
    if found is None or found.claim.strength > Strength.DESCRIBED:
        return ""
    told, pictures = count_described(path)
    if not told or 3 * told >= pictures:
        return ""
    return f"{found.claim.evidence}; such files describe {told} of {pictures} images"


def _hints(options: CheckOptions) -> Hints:
    return Hints(options.format, options.images)


def _open_parts(path: Path, options: CheckOptions) -> Mapping[str, DetectionData]:
    with keeping_shapes():
        return open_parts(path, _hints(options))


def _examine(
    path: Path, parts: tuple[str, ...], options: CheckOptions
) -> Examination[DetectionData]:
    hints = _hints(options)
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
    return checkup.with_part(options.tell(path, split, parts), split, beside)


BOXES = DataKind(
    name="boxes",
    task="detection",
    layouts=f"A detection data set holds {LAYOUTS}.",
    find_parts=_find_parts,
    examine=_examine,
    options=frozenset({"anchors", "keep_aspect", "format", "images"}),
    takes_patterns=True,
    shares_files=True,
    nearest=nearest_format,
    doubt=_doubt,
    formats=tuple(one.title for one in FORMATS),
    open_parts=_open_parts,
    targets={name: partial(write_boxes, target) for name, target in TARGETS.items()},
)
