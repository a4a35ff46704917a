"""The data doctor's rounds: each kind of data opened, examined and described."""

from __future__ import annotations

from configs.tools import CheckData
from datasets.attributes.checking import describe_attributes, examine_attributes
from datasets.attributes.opening import open_attributes
from datasets.attributes.structure import PARTS
from datasets.boxes.checking import describe, examine
from datasets.boxes.opening import open_detection
from datasets.findings import Examination
from datasets.identities.checking import describe_faces, open_examined
from datasets.kinds import Recognised, open_photos
from datasets.labels.checking import describe_labels, examine_labels
from datasets.labels.opening import read_wanted
from datasets.positions.checking import describe_places, examine_places
from datasets.positions.opening import GeoData, LeftOut, part_by_author, read_places
from datasets.spec import Split
from tasks.detection.model import detector_anchors
from tasks.detection.spec import DetectorSpec

_OF_BOXES = ("framework", "backbone", "size", "keep_aspect")


def examine_any(args: CheckData, found: Recognised) -> tuple[Examination, str]:
    """Examine a data set as what it was taken for.

    Args:
        args: What to examine.
        found: What it is.

    Returns:
        What was found, and the same for people.

    Raises:
        InputError: If it cannot be read, or a flag does nothing for such data.
    """
    useless: tuple[str, ...] = () if found.kind == "detection" else _OF_BOXES
    useless += () if found.kind == "classification" else ("classes",)
    args.refuse(*useless, task=found.kind)
    if found.kind == "face_attributes":
        return _examine_attributes(args)
    # All of a set that is not parted; else what is trained on.
    split = args.split or ("all" if len(found.parts) == 1 else "train")
    if found.kind == "detection":
        return _examine_boxes(args, split)
    if found.kind == "classification":
        return _examine_labels(args, split, found.parts)
    has_other = split != "all" and "train" in found.parts
    other = _beside(split) if has_other else None
    if found.kind == "face_embedding":
        faces = open_examined(args.data, split, other, decode=args.decode)
        return faces, describe_faces(faces, args.lines)
    return _examine_places(args, split, other)


def _beside(split: Split) -> Split:
    return "val" if split == "train" else "train"


def _examine_boxes(args: CheckData, split: Split) -> tuple[Examination, str]:
    spec = DetectorSpec(framework=args.framework, backbone=args.backbone, size=args.size)
    checkup = examine(
        open_detection(args.data, split),
        detector_anchors(spec).numpy(),
        decode=args.decode,
        keep_aspect=args.keep_aspect,
    )
    return checkup, describe(checkup, args.lines)


def _examine_labels(
    args: CheckData, split: Split, parts: tuple[str, ...]
) -> tuple[Examination, str]:
    wanted = read_wanted(args.classes) if args.classes else None
    has_other = split != "all" and "train" in parts
    other = open_photos(args.data, _beside(split), wanted) if has_other else None
    data = open_photos(args.data, split, wanted)
    # A photo in a shard has no file of its own whose header could be read.
    checkup = examine_labels(data, other, decode=args.decode or not parts)
    return checkup, describe_labels(checkup, args.lines)


def _examine_attributes(args: CheckData) -> tuple[Examination, str]:
    """A part beside all others: a photo to test on must not be trained on either."""
    parts = open_attributes(args.data, whole=args.split in (None, "all"))
    alone = len(set(parts.parts.tolist())) == 1
    split = args.split or ("all" if alone else "train")
    if split == "all":
        checkup = examine_attributes(parts.data, decode=args.decode)
    else:
        rest = parts.data.select(parts.parts != PARTS.index(split))
        checkup = examine_attributes(parts.part(split), rest, decode=args.decode)
    return checkup, describe_attributes(checkup, args.lines)


def _examine_places(args: CheckData, split: Split, other: Split | None) -> tuple[Examination, str]:
    left_out: list[LeftOut] = []
    beside = None if other is None else _open_places(args, other, [])
    data = _open_places(args, split, left_out)
    checkup = examine_places(data, beside, left_out=left_out, decode=args.decode)
    return checkup, describe_places(checkup, args.lines)


def _open_places(args: CheckData, split: Split, left_out: list[LeftOut]) -> GeoData:
    data, lone = read_places(args.data, split, left_out)
    return part_by_author(data, split) if lone and len(data) else data
