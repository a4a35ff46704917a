"""COCO: ``annotations/instances_*.json`` beside image folders; also single JSON exports."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np

from datasets.boxes.structure import DetectionData
from datasets.errors import InputError
from datasets.types import ClassMap

_TRAIN_WORDS = ("train", "trainval", "training")
_VAL_WORDS = ("minival", "val", "valid", "validation", "test")
# So many images are looked for to find out in which folder they lie.
_LOOKED_FOR = 50


def find_splits(path: Path) -> dict[str, Path]:
    """Annotation files of a folder by split; empty if it is not a COCO folder."""
    if path.is_file():
        return {"train": path} if path.suffix == ".json" else {}
    candidates = [*sorted(path.glob("annotations/*.json")), *sorted(path.glob("*.json"))]
    candidates += sorted(path.glob("*/_annotations.coco.json"))
    files = [file for file in candidates if _looks_like_instances(file)]
    to_train = [file for file in files if _words(file) & {*_TRAIN_WORDS}]
    found = {"train": to_train[0]} if to_train else {}
    for word in _VAL_WORDS:
        named = [file for file in files if word in _words(file) and file not in to_train]
        if named:
            found.setdefault("val", named[0])
    if not found and len(files) == 1 and _is_coco(files[0]):
        found["train"] = files[0]
    return found


def _words(file: Path) -> set[str]:
    """Words in a file's name; Roboflow names the folder instead."""
    name = file.parent.name if file.name == "_annotations.coco.json" else file.stem
    return set(re.findall("[a-z]+", name.lower()))


def _is_coco(file: Path) -> bool:
    """Tell a stray JSON file, which other formats' folders may hold."""
    try:
        _load(file)
    except ValueError:
        return False
    return True


def _looks_like_instances(file: Path) -> bool:
    """Tell boxes from the captions and keypoints that lie in the same folder, by name."""
    name = file.name.lower()
    return not any(word in name for word in ("caption", "keypoint", "panoptic", "image_info"))


def read(root: Path, file: Path) -> DetectionData:
    """Read one annotation file.

    Raises:
        InputError: If it is not COCO's structure, an annotation names an image or category that
            is not there, or an image id occurs twice; it names file and annotation.
    """
    content = _load(file)
    images, annotations = content["images"], content["annotations"]
    classes = _classes(file, content["categories"])
    position = {image["id"]: index for index, image in enumerate(images)}
    if len(position) < len(images):
        twice, _ = Counter(image["id"] for image in images).most_common(1)[0]
        raise InputError(f"{file}: image id {twice} occurs twice; its boxes cannot be told apart")
    label = {category: k for k, category in enumerate(classes.ids, start=1)}
    _check_references(file, annotations, position, label)
    owners = np.array([position[row["image_id"]] for row in annotations], dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    boxes = _boxes(file, annotations)[order]
    counts = np.bincount(owners, minlength=len(images))
    sides = boxes[:, 2] * boxes[:, 3]
    boxes[:, 2:] += boxes[:, :2]
    folder = _image_folder(root, file, images)
    rows = [annotations[i] for i in order]
    return DetectionData(
        format="coco",
        root=root,
        files=np.array([str(folder / image["file_name"]) for image in images], dtype=np.str_),
        image_ids=np.array([image["id"] for image in images], dtype=np.int64),
        sizes=np.array([(i["width"], i["height"]) for i in images], np.int64).reshape(-1, 2),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes=boxes,
        labels=np.array([label[row["category_id"]] for row in rows], dtype=np.int64),
        iscrowd=np.array([bool(row.get("iscrowd", 0)) for row in rows], dtype=np.bool_),
        areas=np.array(
            [row.get("area") or side for row, side in zip(rows, sides, strict=True)], np.float64
        ),
        annotation_ids=np.array([row.get("id") or 0 for row in rows], dtype=np.int64),
        classes=classes,
        upright=False,
    )


def _check_references(
    file: Path, annotations: list[dict[str, Any]], images: Container[int], label: dict[int, int]
) -> None:
    for row in annotations:
        if row["image_id"] not in images:
            raise InputError(
                f"{file}: annotation {row.get('id')} is of image {row['image_id']}, "
                "which is not in the file's images"
            )
        if row["category_id"] not in label:
            raise InputError(
                f"{file}: annotation {row.get('id')} has category {row['category_id']}; "
                f"the file's categories are {', '.join(map(str, label))}"
            )


def _load(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a COCO annotation file but a {type(content).__name__}")
    missing = {"images", "annotations", "categories"} - content.keys()
    if missing:
        raise InputError(f"{file}: not a COCO annotation file: no {sorted(missing)[0]!r} in it")
    for part, fields in (
        ("images", ("id", "file_name", "width", "height")),
        ("annotations", ("image_id", "category_id", "bbox")),
        ("categories", ("id", "name")),
    ):
        for row in content[part]:
            lacking = [name for name in fields if name not in row]
            if lacking:
                raise InputError(f"{file}: {part} entry {row.get('id')} has no {lacking[0]!r}")
            for name in _WHOLE_NUMBERS & row.keys():
                if not _is_whole(row[name]) and not (part == "annotations" and row[name] is None):
                    raise InputError(
                        f"{file}: {part} entry {row.get('id')} has {name} {row[name]!r}; "
                        "a whole number is needed"
                    )
    return content


_WHOLE_NUMBERS = {"id", "image_id", "category_id", "width", "height"}


def _is_whole(value: object) -> bool:
    return isinstance(value, int | float) and float(value).is_integer()


def _classes(file: Path, categories: list[dict[str, Any]]) -> ClassMap:
    try:
        return ClassMap.from_json(sorted(categories, key=lambda row: row["id"]))
    except ValueError as error:
        raise InputError(f"{file}: categories: {error}") from error


def _boxes(file: Path, annotations: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        rows = [row["bbox"] for row in annotations]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    except (TypeError, ValueError):
        pass
    for row in annotations:
        try:
            _ = np.array(row["bbox"], dtype=np.float64).reshape(4)
        except (TypeError, ValueError):
            raise InputError(
                f"{file}: annotation {row.get('id')} has bbox {row['bbox']!r}; "
                "four numbers x, y, width, height are needed"
            ) from None
    raise AssertionError("every box reads alone")


def _image_folder(root: Path, file: Path, images: list[dict[str, Any]]) -> Path:
    """Where the images lie: COCO names the folder as the annotation file, others do not."""
    base = file.parent if root.is_file() else root
    stem = file.stem.removeprefix("instances_")
    guesses = [base / stem, base / "images" / stem, file.parent / stem, file.parent.parent / stem]
    guesses += [file.parent / "images", base / "images", file.parent, base]
    names = [image["file_name"] for image in images[:: -(-len(images) // _LOOKED_FOR) or 1]]
    # The first of those that hold most: a picture may be missing anywhere.
    return max(guesses, key=lambda guess: sum((guess / name).exists() for name in names))


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
