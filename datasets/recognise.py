"""Whether a data set is for detection or for classification, by what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets import classification, detection, folders
from datasets.classification import is_sharded, open_labelled, recognise_labelled
from datasets.detection import recognise_detection
from datasets.labelled import LabelledData, choose_classes
from datasets.shard_photos import list_photos
from datasets.shards import open_shard_part
from datasets.spec import Split

Kind = Literal["detection", "classification"]


@dataclass(frozen=True)
class Recognised:
    """What a path is taken for.

    Attributes:
        kind: What it is for.
        parts: ``train``, ``val`` or both, as :func:`~datasets.splitting.choose_part` takes them;
            none of shards.
        both: Whether it can be read as the other kind too.
    """

    kind: Kind
    parts: tuple[str, ...] = ()
    both: bool = False


def recognise(path: Path, kind: Kind | None = None) -> Recognised:
    """Tell what a data set is for: detection, if it can be read so.

    Args:
        path: Folder, list or shards.
        kind: What it has to be, where that is known.

    Raises:
        ValueError: If it is neither, saying what each would hold.
    """
    if not path.exists():
        if is_sharded(path):  # A pattern of several.
            return Recognised("classification")
        raise ValueError(f"{path}: no such file or folder")
    boxes = None if kind == "classification" else recognise_detection(path)
    if boxes is not None:
        return Recognised("detection", tuple(boxes[1]), kind is None and _has_labels(path))
    labels = None if kind == "detection" else recognise_labelled(path)
    if labels is not None:
        return Recognised("classification", tuple(labels[1]))
    if kind != "detection" and is_sharded(path):
        return Recognised("classification")
    needs = {
        "detection": f"A detection data set holds either {detection.LAYOUTS}.",
        "classification": f"A classification data set holds either {classification.LAYOUTS}.",
    }
    text = needs[kind] if kind else " ".join(needs.values())
    raise ValueError(f"{path}: not recognised. {text}")


def open_photos(path: Path, split: Split, wanted: Sequence[str] | None = None) -> LabelledData:
    """A split of a classification set as single photos, also where they lie in shards.

    Args:
        path: Folder, list or shards.
        split: Part of it; of shards that are not parted, all.
        wanted: Names or ids of the classes to take; None takes all.

    Raises:
        ValueError: If the data or the classes are not there.
    """
    if is_sharded(path):
        data: LabelledData = list_photos(open_shard_part(path, split, whole=True))
    else:
        data = open_labelled(path, split)
    return data if wanted is None else choose_classes(data, wanted)


def _has_labels(path: Path) -> bool:
    """Whether a detection set is known to carry a class per picture.

    Picture folders alone say nothing: COCO's would be two classes, train2017 and val2017.
    """
    try:
        found = recognise_labelled(path)
    except ValueError:
        return False
    return found is not None and found[0] is not folders
