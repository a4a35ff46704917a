"""COCO: ``annotations/instances_*.json`` beside image folders; also single JSON exports."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.boxes.listed_paths import is_there
from datasets.boxes.structure import DetectionData
from datasets.errors import InputError
from datasets.fields import Fields
from datasets.findings import Finding
from datasets.json_files import read_object
from datasets.types import ClassMap

_TRAIN_WORDS = ("train", "trainval", "training")
_VAL_WORDS = ("minival", "val", "valid", "validation", "test")
_ROBOFLOW = "_annotations.coco.json"
# Names of COCO's fields: a file in whose first bytes two stand means to be one of its kind.
_LOOKED_INTO = 2**20
_EVIDENCE = (b'"images"', b'"annotations"', b'"categories"', b'"file_name"', b'"bbox"')
# So many images are looked for to find out in which folder they lie.
_LOOKED_FOR = 50
Key = int | str


def find_splits(path: Path) -> dict[str, Path]:
    """Annotation files of a folder by split; empty if it is not a COCO folder.

    A file counts by its name, or by the names of COCO's fields in it, whether it can be read or
    not: the error is then about that file, and the folder is not taken for something else.

    Raises:
        InputError: If several files could be the same part, and none is named as COCO names them.
    """
    if path.is_file():
        return {"train": path} if path.suffix.lower() == ".json" else {}
    candidates = [*sorted(path.glob("annotations/*.json")), *sorted(path.glob("*.json"))]
    candidates += sorted(path.glob(f"*/{_ROBOFLOW}"))
    files = [file for file in dict.fromkeys(candidates) if _claims(file)]
    to_train = [file for file in files if _words(file) & {*_TRAIN_WORDS}]
    found = {"train": _only(to_train)} if to_train else {}
    for word in _VAL_WORDS:
        named = [file for file in files if word in _words(file) and file not in to_train]
        if named and "val" not in found:
            found["val"] = _only(named)
    if not found and files:
        found["train"] = _only(files)
    return found


def _only(files: list[Path]) -> Path:
    """The file of a part, where only one can be meant."""
    named = [file for file in files if _is_named(file)] or files
    if len(named) > 1:
        names = " and ".join(file.name for file in named[:3])
        raise InputError(
            f"{named[0].parent}: holds {names}, of which any may be meant; name the file itself"
        )
    return named[0]


def _is_named(file: Path) -> bool:
    return file.name == _ROBOFLOW or file.stem.lower().startswith("instances_")


def _words(file: Path) -> set[str]:
    """Words in a file's name; Roboflow names the folder instead."""
    name = file.parent.name if file.name == _ROBOFLOW else file.stem
    return set(re.findall("[a-z]+", name.lower()))


def _claims(file: Path) -> bool:
    """Tell boxes from stray JSON, and from the captions and keypoints in the same folder."""
    name = file.name.lower()
    if any(word in name for word in ("caption", "keypoint", "panoptic", "image_info")):
        return False
    if _is_named(file):
        return True
    try:
        with file.open("rb") as opened:
            content = opened.read(_LOOKED_INTO)
    except OSError:
        return file.parent.name == "annotations"
    return sum(key in content for key in _EVIDENCE) > 1


@dataclass(frozen=True)
class _Labels:
    """Classes of a file: label from 1 of each id that annotations may carry."""

    classes: ClassMap
    label: dict[Key, int]
    told: list[Finding]


def read(root: Path, file: Path) -> DetectionData:
    """Read one annotation file.

    Raises:
        InputError: If a field is not as COCO has it, an annotation names an image or category
            that is not there, or an image id occurs twice; it names file and place.
    """
    content = read_object(file)
    for part in ("images", "annotations", "categories"):
        if part not in content.values:
            raise InputError(f"{file}: not a COCO annotation file: no {part!r} in it")
    images, annotations = content.objects("images"), content.objects("annotations")
    keys = [image.key("id") for image in images]
    position = {key: index for index, key in enumerate(keys)}
    if len(position) < len(images):
        twice, _ = Counter(keys).most_common(1)[0]
        raise InputError(f"{file}: image id {twice} occurs twice; its boxes cannot be told apart")
    names = [image.text("file_name") for image in images]
    sizes = [(image.whole("width"), image.whole("height")) for image in images]
    owners, used = _references(annotations, position)
    categories = _categories(content, {*used})
    labels = [
        _label(row, key, categories.label) for row, key in zip(annotations, used, strict=True)
    ]
    boxes = np.array([_box(row) for row in annotations], np.float64).reshape(-1, 4)
    areas = np.array([_area(row) for row in annotations], np.float64)
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(images))
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        sides = boxes[:, 2] * boxes[:, 3]
        boxes[:, 2:] += boxes[:, :2]
    fits = all(isinstance(key, int) and -(2**63) <= key < 2**63 for key in keys)
    numbers = keys if fits else list(range(1, len(keys) + 1))
    folder = _image_folder(root, file, names)
    return DetectionData(
        format="coco",
        root=root,
        files=np.array([_below(folder, name) for name in names], dtype=np.str_),
        image_ids=np.array(numbers, dtype=np.int64),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes=boxes[order],
        labels=np.array(labels, dtype=np.int64)[order],
        iscrowd=np.array([row.flag("iscrowd") for row in annotations], dtype=np.bool_)[order],
        areas=np.where(areas != 0, areas, sides)[order],
        annotation_ids=np.array(_numbers(annotations), dtype=np.int64)[order],
        classes=categories.classes,
        upright=False,
        told=tuple(categories.told),
        own_ids={} if fits else dict(enumerate(keys, start=1)),
    )


def _references(
    annotations: Sequence[Fields], position: dict[Key, int]
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[Key]]:
    """Index of the image of each annotation (M,), and its category."""
    owners, used = [], []
    for row in annotations:
        image = row.key("image_id")
        if image not in position:
            raise row.error("image_id", "an id that is among the file's images is needed")
        owners.append(position[image])
        used.append(row.key("category_id"))
    return np.array(owners, dtype=np.int64), used


def _label(row: Fields, key: Key, label: dict[Key, int]) -> int:
    if key not in label:
        known = ", ".join(str(one) for one in list(label)[:12])
        raise row.error("category_id", f"the file's categories are {known}")
    return label[key]


def _box(row: Fields) -> list[float]:
    return row.numbers("bbox", 4, "four numbers x, y, width, height")


def _area(row: Fields) -> float:
    """Of the segment; 0 where it is left empty, as some tools do."""
    area = row.number("area") if row.has("area") else 0.0
    if not math.isfinite(area):
        raise row.error("area", "a finite number is needed")
    return area


def _numbers(annotations: Sequence[Fields]) -> list[int]:
    """Ids of annotations; their numbers in the file where some are texts or too large."""
    keys = [row.key("id") if row.has("id") else 0 for row in annotations]
    if all(isinstance(key, int) and -(2**63) <= key < 2**63 for key in keys):
        return [int(key) for key in keys]
    return list(range(1, len(keys) + 1))


def _categories(content: Fields, used: set[Key]) -> _Labels:
    """The classes of a file; ids that are no numbers are numbered in the file's order.

    Roboflow's exports begin with the name of the project as a category of id 0, which is no
    class: others name it as their group. It may even carry the name of one of them.

    Raises:
        InputError: If an id or name occurs twice.
    """
    rows = content.objects("categories")
    entries = [(row.key("id"), row.text("name")) for row in rows]
    groups = {row.values.get("supercategory") for row in rows}
    names = Counter(name for _, name in entries)
    told, kept = [], []
    for row, (key, name) in zip(rows, entries, strict=True):
        is_group = row.values.get("supercategory") == "none" and name in groups
        if key not in used and (is_group or names[name] > 1):
            names[name] -= 1
            detail = f"id {key} has no box, and is the name of a group or of another class"
            kind = f"category {name!r} left out"
            told.append(Finding(kind, "dropped", str(content.file), None, detail))
        else:
            kept.append((key, name))
    numbered = all(isinstance(key, int) and abs(key) < 2**63 for key, _ in kept)
    if numbered:
        kept.sort(key=lambda entry: int(entry[0]))
    ids = [int(key) for key, _ in kept] if numbered else list(range(1, len(kept) + 1))
    if len({key for key, _ in kept}) < len(kept):
        twice, _ = Counter(key for key, _ in kept).most_common(1)[0]
        raise InputError(f"{content.file}: categories: class id {twice!r} occurs twice")
    try:
        classes = ClassMap(tuple(ids), tuple(name for _, name in kept))
    except ValueError as error:
        raise InputError(f"{content.file}: categories: {error}") from error
    return _Labels(classes, {key: k for k, (key, _) in enumerate(kept, start=1)}, told)


def _image_folder(root: Path, file: Path, names: Sequence[str]) -> Path:
    """Where the images lie: COCO names the folder as the annotation file, others do not."""
    base = file.parent if root.is_file() else root
    stem = file.stem.removeprefix("instances_")
    guesses = [base / stem, base / "images" / stem, file.parent / stem, file.parent.parent / stem]
    guesses += [file.parent / "images", base / "images", file.parent, base]
    some = names[:: -(-len(names) // _LOOKED_FOR) or 1]
    # The first of those that hold most: a picture may be missing anywhere.
    return max(guesses, key=lambda guess: sum(is_there(_below(guess, name)) for name in some))


def _below(folder: Path, name: str) -> str:
    """Path of a picture; that of another machine is reduced to what may lie here, too.

    Windows' tools write backslashes, and some exports the author's whole path.
    """
    as_is = str(folder / name)
    if "\\" not in name and not name.startswith("/"):
        return as_is
    if is_there(as_is):
        return as_is
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    if name[0] in "/\\" or (parts and parts[0].endswith(":")):
        parts = parts[-1:]
    return str(folder.joinpath(*parts))


def to_coco(data: DetectionData) -> dict[str, Any]:
    """COCO's structure of any data set, with original ids: ground truth that anyone can score."""
    sides = data.boxes[:, 2:] - data.boxes[:, :2]
    bbox = np.concatenate((data.boxes[:, :2], sides), axis=1)
    ids = np.array([0, *data.classes.ids])[data.labels]
    owners = data.image_ids[data.owners]
    return {
        "images": [
            {"id": int(i), "file_name": Path(f).name, "width": int(w), "height": int(h)}
            for i, f, (w, h) in zip(data.image_ids, data.files, data.sizes, strict=True)
        ],
        "annotations": [
            {
                "id": k + 1,
                "image_id": int(owners[k]),
                "category_id": int(ids[k]),
                "bbox": bbox[k].tolist(),
                "area": float(data.areas[k]),
                "iscrowd": int(data.iscrowd[k]),
            }
            for k in range(len(bbox))
        ],
        "categories": data.classes.to_json(),
    }
