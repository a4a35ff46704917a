"""The folder recogniser of detection: formats claim a path, and the strongest claim is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets.boxes import (
    box_csv,
    coco,
    cvat,
    hugging_face,
    kitti,
    label_studio,
    labelme,
    open_images,
    parquet,
    shards,
    via,
    voc,
    voc_layout,
    yolo,
    yolo_plain,
)
from datasets.boxes.structure import DetectionData, hold_out
from datasets.boxes.tree import Hints, Tree
from datasets.claims import Claim, Strength, nearest, strongest
from datasets.errors import InputError, NotRecognised
from datasets.images import is_passed_over, pictures_below
from datasets.ledger import note_entries
from datasets.names import joined
from datasets.refused import refusal, refused_boxes
from datasets.shards.finding import is_pattern
from datasets.spec import Split
from datasets.splitting import choose_part
from datasets.unpacked import unpacked

# A folder that holds more folders than this is not searched for the set in one of them.
_MOST_FOLDERS = 12


@dataclass(frozen=True)
class Format:
    """A format of boxes.

    Attributes:
        name: Name, as ``--format`` takes it.
        title: Common name; ``docs/data.md`` lists the format by it.
        layout: What it consists of, and what people call it.
        claim: What speaks for it below a path.
        read: Reads a part of a set, given its root.
    """

    name: str
    title: str
    layout: str
    claim: Callable[[Tree], Claim | None]
    read: Callable[[Path, Any], DetectionData]


FORMATS = (
    Format("coco", "COCO", "annotations/instances_train*.json (COCO)", coco.claim, coco.read),
    Format(
        "voc",
        "Pascal VOC",
        "Annotations/*.xml, JPEGImages/ (Pascal VOC)",
        voc_layout.claim,
        voc.read,
    ),
    Format("yolo", "YOLO", "labels/*.txt, images/, data.yaml (YOLO)", yolo.claim, yolo.read),
    Format(
        "darknet",
        "YOLO without data.yaml",
        "the same with classes.txt or obj.data (YOLO)",
        yolo_plain.claim,
        yolo.read,
    ),
    Format(
        "csv",
        "box CSV",
        "filename, class, xmin, ymin, xmax, ymax (TensorFlow's CSV)",
        box_csv.claim,
        box_csv.read,
    ),
    Format(
        "open_images",
        "Open Images",
        "*-annotations-bbox.csv (Open Images)",
        open_images.claim,
        open_images.read,
    ),
    Format("labelme", "LabelMe", "JSON beside each image (LabelMe)", labelme.claim, labelme.read),
    Format("cvat", "CVAT XML", "annotations.xml (CVAT for images 1.1)", cvat.claim, cvat.read),
    Format(
        "label_studio",
        "Label Studio",
        "a JSON export (Label Studio)",
        label_studio.claim,
        label_studio.read,
    ),
    Format(
        "via",
        "VGG Image Annotator",
        "a JSON or CSV export (VGG Image Annotator)",
        via.claim,
        via.read,
    ),
    Format("kitti", "KITTI", "label_2/*.txt, image_2/ (KITTI)", kitti.claim, kitti.read),
    Format(
        "hugging_face",
        "boxes in metadata.jsonl",
        "metadata.jsonl (Hugging Face)",
        hugging_face.claim,
        hugging_face.read,
    ),
    Format(
        "parquet",
        "boxes in Parquet",
        "*.parquet with columns image and objects (Hugging Face)",
        parquet.claim,
        parquet.read,
    ),
    Format(
        "shards",
        "webdataset shards",
        "*.tar with 0.jpg beside 0.json or 0.txt (webdataset)",
        shards.claim,
        shards.read,
    ),
)
_READERS = {one.name: one.read for one in FORMATS}
LAYOUTS = "; or ".join(one.layout for one in FORMATS)


@dataclass(frozen=True)
class Recognised:
    """A set of boxes.

    Attributes:
        path: What holds it: what the user named, or the one folder in it.
        claim: Its format and parts.
    """

    path: Path
    claim: Claim


def open_detection(
    path: Path, split: Split, *, whole: bool = False, hints: Hints | None = None
) -> DetectionData:
    """Recognise a folder (or a file that describes boxes) and read one split of it.

    In a data set with only a training part, a fifth of the images, chosen by name, is ``val``, and
    the others are ``train``; ``all`` is the whole of it.

    Args:
        path: Folder, file, or pattern of shards.
        split: Part to read.
        whole: Whether to use all of a data set without parts, for any split.
        hints: What the user states about the data set.

    Raises:
        InputError: If the path is missing, has no such split, could be of several formats, or
            looks like none of them; the message states what the nearest would need.
    """
    found = _recognised(path, hints)
    if split == "test" and found.claim.no_test:
        raise InputError(found.claim.no_test)
    chosen, lone = choose_part(path, split, found.claim.parts)
    evidence = found.claim.evidence
    if found.path != path:
        evidence = f"{evidence}, in {found.path.relative_to(path)}/"
    part = replace(_READERS[found.claim.format](found.path, chosen), evidence=evidence)
    note_entries(part.files.tolist() if part.in_files else [])
    return hold_out(part, split) if lone and not whole else part


def open_parts(path: Path, hints: Hints | None = None) -> dict[str, DetectionData]:
    """All parts of a set, nothing held out.

    Args:
        path: Folder or file.
        hints: What the user says of the set.

    Raises:
        InputError: If it is no set of boxes, or cannot be read.
    """
    found = _recognised(path, hints)
    read = _READERS[found.claim.format]
    return {split: read(found.path, part) for split, part in found.claim.parts.items()}


def _recognised(path: Path, hints: Hints | None) -> Recognised:
    """As :func:`recognise_detection`. Raises InputError, too, if it is no detection set."""
    if not path.exists() and not is_pattern(path):
        raise InputError(f"{path}: no such file or folder")
    found = recognise_detection(path, hints)
    if found is None:
        near = nearest_format(path, hints)
        why = f"not recognised as a detection data set.{refusal(path)} "
        raise NotRecognised(path, why + (near or f"It should hold {LAYOUTS}"))
    return found


def recognise_detection(path: Path, hints: Hints | None = None) -> Recognised | None:
    """The format of a path and its parts; None if it is not a detection data set.

    If nothing in a folder describes boxes, but one folder in it is such a data set, and no other
    holds images, it is that one; so is one at the end of folders that hold one folder each.

    Raises:
        InputError: If it could be of several formats, is damaged, or is not of the format that the
            user states.
    """
    hints = hints or Hints()
    if hints.images is not None and not hints.images.is_dir():
        raise InputError(f"--images {hints.images}: no such folder")
    claim = _strongest(path, hints)
    if claim is not None:
        return Recognised(path, claim)
    inner = unpacked(path) if path.is_dir() else path
    if inner != path and (claim := _strongest(inner, hints)) is not None:
        return Recognised(inner, claim)
    pictured = [one for one in _folders(path) if pictures_below(one, first=True)]
    sets = _sets_in(path, hints) if len(pictured) < 2 else []
    if len(sets) == 1 and pictured in ([], sets):
        claim = _strongest(sets[0], hints)
        if claim is not None:
            return Recognised(sets[0], claim)
    if hints.format is not None:
        raise InputError(
            f"{path}: not read as {hints.format} (--format). "
            + (nearest_format(path, hints) or f"It should hold {_format(hints.format).layout}")
        )
    return None


def _strongest(path: Path, hints: Hints) -> Claim | None:
    """The strongest claim; its evidence also names other formats that it precedes."""
    claims = _claims(path, hints)
    claim = strongest(path, claims)
    if claim is None:
        return None
    others = [
        one.format
        for one in claims
        if one.strength and not one.lacks and _READERS[one.format] != _READERS[claim.format]
    ]
    more = f"; less surely {' or '.join(others)} (--format)" if others else ""
    return replace(claim, evidence=f"{claim.evidence}{more}")


def nearest_format(path: Path, hints: Hints | None = None) -> str:
    """Which format a path comes nearest to, and what it lacks; empty if nothing is like one."""
    hints = hints or Hints()
    inner = [one.name for one in _sets_in(path, hints)]
    if inner:
        what, which = ("is a set", "it") if len(inner) == 1 else ("are sets", "one of them")
        return f"There {what} of boxes in {joined(inner)}: name {which}."
    near = nearest([c for c in _claims(path, hints) if c.strength == Strength.NEAR])
    return near or refused_boxes(path)


def _claims(path: Path, hints: Hints) -> list[Claim]:
    tree = Tree(path, hints.images)
    formats = FORMATS if hints.format is None else (_format(hints.format),)
    return [claim for one in formats if (claim := one.claim(tree)) is not None]


def claims_of(path: Path) -> list[Claim]:
    """What formats say of a path. Raises InputError if one of them finds it damaged."""
    return _claims(path, Hints())


def _sets_in(path: Path, hints: Hints) -> list[Path]:
    """Folders in a folder that some format claims, damaged or not."""
    found = []
    for folder in _folders(path):
        with suppress(InputError):
            if not any(claim.strength for claim in _claims(folder, hints)):
                continue
        found.append(folder)
    return found


def _format(name: str) -> Format:
    """A format by name. Raises InputError, with all names, if there is none."""
    for one in FORMATS:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in FORMATS)
    raise InputError(f"--format {name}: no such format of boxes; there are {known}")


def _folders(path: Path) -> list[Path]:
    """Folders in a folder; none if they are many, as classes are, or lie beside images."""
    if not path.is_dir():
        return []
    inner = [
        one for one in sorted(path.iterdir()) if one.is_dir() and not is_passed_over(one.name)
    ]
    return inner if len(inner) <= _MOST_FOLDERS else []
