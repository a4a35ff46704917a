"""What a data set is for, by what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from datasets.attributes import opening as attribute_sets
from datasets.attributes.opening import holds_attributes
from datasets.boxes import opening as detection
from datasets.boxes.opening import recognise_detection
from datasets.errors import InputError
from datasets.identities import opening as faces
from datasets.identities.opening import find_face_parts
from datasets.labels import folders
from datasets.labels import opening as classification
from datasets.labels.opening import is_sharded, open_labelled, recognise_labelled
from datasets.labels.structure import LabelledData, choose_classes
from datasets.positions.opening import find_parts, holds_places
from datasets.shards.photos import list_photos
from datasets.shards.tar import open_shard_part
from datasets.spec import Split

# The most particular layout first: nearly every folder could be one of labelled photos.
Kind = Literal["detection", "face_attributes", "face_embedding", "geolocation", "classification"]

_NEEDS: dict[Kind, str] = {
    "detection": f"A detection data set holds either {detection.LAYOUTS}.",
    "face_attributes": f"One of face attributes holds {attribute_sets.LAYOUTS}.",
    "face_embedding": f"One of faces by identity is {faces.LAYOUTS}.",
    "geolocation": "One of places is a list with the columns LAT, LON and the photo's name, or "
    "holds one, or photos with GPS tags.",
    "classification": f"A classification data set holds either {classification.LAYOUTS}.",
}


@dataclass(frozen=True)
class Recognised:
    """What a path is taken for.

    Attributes:
        kind: What it is for.
        parts: ``train``, ``val`` or both, as :func:`~datasets.splitting.choose_part` takes them;
            none of shards, and of face attributes, whose own lists tell.
        both: Whether its labels could be read too.
    """

    kind: Kind
    parts: tuple[str, ...] = ()
    both: bool = False


def recognise(path: Path, kind: Kind | None = None) -> Recognised:
    """Tell what a data set is for: labelled photos, unless something more particular is there.

    Folders of pictures are taken for classes; that they are identities has to be said.

    Args:
        path: Folder, list, archive or shards.
        kind: What it has to be, where that is known.

    Raises:
        InputError: If it is none of them, saying what each would hold.
    """
    if not path.exists():
        if kind in (None, "classification") and is_sharded(path):  # A pattern of several.
            return Recognised("classification")
        raise InputError(f"{path}: no such file or folder")
    for one in get_args(Kind) if kind is None else (kind,):
        parts = _find_parts(path, one, said=kind is not None)
        if parts is not None:
            several = kind is None and one in ("detection", "geolocation") and _has_labels(path)
            return Recognised(one, parts, several)
    text = _NEEDS[kind] if kind else " ".join(_NEEDS.values())
    raise InputError(f"{path}: not recognised. {text}")


def _find_parts(path: Path, kind: Kind, *, said: bool) -> tuple[str, ...] | None:
    """Parts of a set of a kind; None if it is none.

    Args:
        path: That is there.
        kind: To look for.
        said: The user says that it is one; what is no more than possible counts then.
    """
    if kind == "detection":
        boxes = recognise_detection(path)
        return None if boxes is None else tuple(boxes[1])
    if kind == "face_attributes":
        return () if path.is_dir() and holds_attributes(path) else None
    if kind == "face_embedding":
        return find_face_parts(path, plain=said)
    if kind == "geolocation":
        listed = holds_places(path) and (said or not _is_label_list(path))
        return tuple(find_parts(path)) if listed or (said and path.is_dir()) else None
    labels = recognise_labelled(path)
    if labels is not None:
        return tuple(labels[1])
    return () if is_sharded(path) else None


def _is_label_list(path: Path) -> bool:
    """Whether a file is a list of labels, beside which positions are an addition."""
    return path.is_file() and _has_labels(path)


def open_photos(path: Path, split: Split, wanted: Sequence[str] | None = None) -> LabelledData:
    """A split of a classification set as single photos, also where they lie in shards.

    Args:
        path: Folder, list or shards.
        split: Part of it; of shards that are not parted, all.
        wanted: Names or ids of the classes to take; None takes all.

    Raises:
        InputError: If the data or the classes are not there.
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
