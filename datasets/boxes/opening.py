"""The folder recogniser of detection."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from datasets.boxes import coco, voc, yolo, yolo_plain
from datasets.boxes.structure import DetectionData, hold_out
from datasets.errors import InputError
from datasets.ledger import note_entries
from datasets.spec import Split
from datasets.splitting import choose_part

# By the names that people know them by; the surest evidence first.
READERS: dict[str, ModuleType] = {
    "COCO": coco,
    "YOLO": yolo,
    "Pascal VOC": voc,
    "YOLO without data.yaml": yolo_plain,
}
LAYOUTS = (
    "annotations/instances_train*.json (COCO), or Annotations/*.xml beside JPEGImages/ (Pascal "
    "VOC), or labels/*.txt beside images/, with data.yaml or classes.txt (YOLO)"
)


def open_detection(path: Path, split: Split, *, whole: bool = False) -> DetectionData:
    """Recognise a folder (or COCO JSON file) and read one split of it.

    A set that has a training part only gives a fifth of its images, chosen by name, to ``val``,
    and the others to ``train``; ``all`` is the whole of it.

    Args:
        path: Folder or file.
        split: Part of it.
        whole: Take all of a set that is not parted, for any split.

    Raises:
        InputError: If the path is missing, has no such split, or looks like none of the formats,
            saying what each would need.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    recognised = recognise_detection(path)
    if recognised is None:
        raise InputError(
            f"{path}: not recognised as a detection data set. It should hold either {LAYOUTS}"
        )
    reader, found = recognised
    chosen, lone = choose_part(path, split, found)
    part: DetectionData = reader.read(path, chosen)
    note_entries(part.files.tolist())
    return hold_out(part, split) if lone and not whole else part


def recognise_detection(path: Path) -> tuple[Any, dict[str, Any]] | None:
    """The reader of a format, and the parts that it finds; None if it is no detection set."""
    found = ((reader, reader.find_splits(path)) for reader in READERS.values())
    return next(((reader, parts) for reader, parts in found if parts), None)


def open_parts(path: Path) -> dict[str, DetectionData]:
    """All parts of a set, nothing held out.

    Raises:
        InputError: If it cannot be read.
    """
    reader, found = recognise_detection(path) or (None, {})
    return {split: reader.read(path, part) for split, part in found.items() if reader}
