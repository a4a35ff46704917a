"""COCO: ``annotations/instances_*.json`` beside image folders; also single JSON exports."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.coco_categories import Key, categories_of
from datasets.boxes.coco_typed import Columns, typed_columns
from datasets.boxes.listed_paths import Finder
from datasets.boxes.segments import box_of_segment
from datasets.boxes.shapes import NAMES_OF_POINTS, Shapes, are_kept, shape_of
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree, split_files
from datasets.claims import Claim, Strength
from datasets.errors import InputError
from datasets.fields import Fields
from datasets.findings import Finding
from datasets.json_files import read_object
from datasets.names import is_folder, is_there
from datasets.part_names import is_part
from datasets.types import ClassMap

_ROBOFLOW = "_annotations.coco.json"
# So many images are looked for to find out in which folder they lie.
_LOOKED_FOR = 50


@dataclass(frozen=True)
class Part:
    """One split: its annotation file, and the folder of the images if the user named one."""

    file: Path
    images: Path | None = None


def claim(tree: Tree) -> Claim | None:
    """Annotation files of a folder by split.

    A file counts by its name, or by the names of COCO's fields in it, whether it can be read or
    not: the error is then about that file, and the folder is not taken for something else.

    Raises:
        InputError: If several files could be the same part, and none is named as COCO names them.
    """
    if tree.path.is_file():
        files = tree.files(".json")
        sure = Strength.NAMED if tree.json_files("coco") else Strength.PLAIN
    else:
        files, sure = _files(tree), Strength.DECLARED
    if not files:
        return None
    chosen, unclear = split_files(tree.base, files, _is_named)
    parts = {split: Part(file, tree.images) for split, file in chosen.items()}
    evidence = f"{tree.name_of(next(iter(parts.values())).file)} has COCO's fields"
    return Claim(format="coco", strength=sure, evidence=evidence, parts=parts, no_test=unclear)


def _files(tree: Tree) -> list[Path]:
    """Where COCO and Roboflow put them; else in folders that are parts; else of keypoints."""
    everywhere = tree.files(".json")
    usual = [
        file
        for file in everywhere
        if file.parent in (tree.path, tree.path / "annotations")
        or (file.name == _ROBOFLOW and file.parent.parent == tree.path)
    ]
    parted = [file for file in everywhere if is_part(file.parent.name)]
    for files, is_wanted in ((usual, _is_usual), (parted, _is_usual), (usual, _has_keypoints)):
        found = [file for file in files if is_wanted(tree, file)]
        if found:
            _refuse_several(tree, found)
            return found
    return []


def _refuse_several(tree: Tree, found: list[Path]) -> None:
    """Ask which set is meant where one lies in a folder below, and others beside it.

    Raises:
        InputError: Naming the folders.
    """
    homes = {_home(tree, file) for file in found}
    if tree.path in homes:  # Its own files are the set, whatever lies deeper.
        return
    files = (file for file in tree.files(".json") if _is_usual(tree, file))
    homes |= {_home(tree, file) for file in files}
    if len(homes) > 1:
        names = [tree.name_of(home) for home in sorted(homes)]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise InputError(
            f"{tree.path}: holds sets with COCO's fields in {', '.join(names[:3])}{more}; "
            "name the one that is meant"
        )


def _home(tree: Tree, file: Path) -> Path:
    """The folder of the set that an annotation file belongs to."""
    folder = file.parent
    while folder != tree.path and (folder.name.lower() == "annotations" or is_part(folder.name)):
        folder = folder.parent
    return folder


def _is_named(file: Path) -> bool:
    return file.name == _ROBOFLOW or file.stem.lower().startswith("instances_")


def _is_usual(tree: Tree, file: Path) -> bool:
    """Whether a JSON file has boxes, and not captions or keypoints in the same folder."""
    name = file.name.lower()
    if any(word in name for word in ("caption", "keypoint", "panoptic", "image_info")):
        return False
    return _is_named(file) or tree.json_kind(file) == "coco"


def _has_keypoints(tree: Tree, file: Path) -> bool:
    """Persons with keypoints have boxes, too."""
    return "keypoint" in file.name.lower() and tree.json_kind(file) == "coco"


def read(root: Path, part: Part) -> DetectionData:
    """Read the annotation file of a split.

    Raises:
        InputError: If a field is not as COCO has it, an annotation names an image or category
            that is not there, or an image id occurs twice; it names file and place.
    """
    typed = None if are_kept() else typed_columns(part.file)
    data = None if typed is None else _of_columns(root, part, typed)
    return data or _of_fields(root, part)


def _of_columns(root: Path, part: Part, found: Columns) -> DetectionData | None:
    """A split from columns; None if a category is missing."""
    content = Fields(part.file, {"categories": found.categories})
    used = np.unique(found.category_ids).tolist()
    classes, label, told = categories_of(content, {*used})
    if not label.keys() >= {*used}:
        return None
    labels = np.array([label[key] for key in used], np.int64)
    return _assembled(
        root,
        part,
        keys=found.image_ids.tolist(),
        names=found.names,
        sizes=found.sizes,
        owners=found.owners,
        boxes=found.boxes,
        labels=labels[np.searchsorted(used, found.category_ids)] if used else found.category_ids,
        iscrowd=found.crowds.astype(np.bool_),
        areas=found.areas,
        annotation_ids=found.ids,
        classes=classes,
        told=told,
        shapes=None,
    )


def _of_fields(root: Path, part: Part) -> DetectionData:
    file = part.file
    content = read_object(file)
    for key in ("images", "annotations", "categories"):
        if key not in content.values:
            raise InputError(f"{file}: not a COCO annotation file: no {key!r} in it")
    images, annotations = content.objects("images"), content.objects("annotations")
    keys = [image.key("id") for image in images]
    position = {key: index for index, key in enumerate(keys)}
    if len(position) < len(images):
        twice, _ = Counter(keys).most_common(1)[0]
        raise InputError(f"{file}: image id {twice} occurs twice; which boxes are whose?")
    names = [image.text("file_name") for image in images]
    sizes = [(image.whole("width"), image.whole("height")) for image in images]
    owners, used = _references(annotations, position)
    classes, label, told = categories_of(content, {*used})
    labels = [label.get(key) for key in used]
    if None in labels:
        known = ", ".join(str(one) for one in list(label)[:12])
        wrong = annotations[labels.index(None)]
        raise wrong.error("category_id", f"the file's categories are {known}")
    shapes = _shapes(content, annotations, told)
    return _assembled(
        root,
        part,
        keys=keys,
        names=names,
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        owners=owners,
        boxes=_boxes(annotations),
        labels=np.array(labels, dtype=np.int64),
        iscrowd=np.array(_crowds(annotations), dtype=np.bool_),
        areas=_areas(annotations),
        annotation_ids=np.array(_numbers(annotations), dtype=np.int64),
        classes=classes,
        told=[*told, *_tell_segments(file, annotations)],
        shapes=shapes,
    )


def _assembled(
    root: Path,
    part: Part,
    *,
    keys: Sequence[Key],
    names: Sequence[str],
    sizes: NDArray[np.int64],
    owners: NDArray[np.int64],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    iscrowd: NDArray[np.bool_],
    areas: NDArray[np.float64],
    annotation_ids: NDArray[np.int64],
    classes: ClassMap,
    told: Sequence[Finding],
    shapes: Shapes | None,
) -> DetectionData:
    """A split, whose annotations are put into the order of its images."""
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(names))
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        sides = boxes[:, 2] * boxes[:, 3]
        boxes[:, 2:] += boxes[:, :2]
    fits = _are_numbers(keys)
    numbers = keys if fits else list(range(1, len(keys) + 1))
    return DetectionData(
        format="coco",
        root=root,
        files=np.array(_files_of(root, part, names), dtype=np.str_),
        image_ids=np.array(numbers, dtype=np.int64),
        sizes=sizes,
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes=boxes[order],
        labels=labels[order],
        iscrowd=iscrowd[order],
        areas=np.where(areas != 0, areas, sides)[order],
        annotation_ids=annotation_ids[order],
        classes=classes,
        upright=False,
        told=tuple(told),
        own_ids={} if fits else dict(enumerate(keys, start=1)),
        shapes=shapes and shapes.select(order),
    )


def _shapes(content: Fields, annotations: Sequence[Fields], told: list[Finding]) -> Shapes | None:
    """Outlines and keypoints, where they are kept; those of no known form are counted."""
    if not are_kept():
        return None
    found = [shape_of(row.values) for row in annotations]
    if odd := sum(is_odd for _, is_odd in found):
        detail = f"{odd}: no polygons, masks or keypoints as COCO has them"
        told.append(Finding("outlines or keypoints", "dropped", str(content.file), None, detail))
    points = {
        row.text("name"): {key: row.values[key] for key in NAMES_OF_POINTS if key in row.values}
        for row in content.objects("categories")
    }
    return Shapes.of([shape for shape, _ in found], points)


def _column(
    rows: Sequence[Fields], key: str, kind: type, read: Callable[[Fields, str], Any]
) -> list[Any]:
    """A field of all rows, which is read one by one only if it is not always of the one type."""
    values = [row.values.get(key) for row in rows]
    return values if {*map(type, values)} <= {kind} else [read(row, key) for row in rows]


def _references(
    annotations: Sequence[Fields], position: dict[Key, int]
) -> tuple[NDArray[np.int64], list[Key]]:
    """Index of the image of each annotation (M,), and its category."""
    owners = [position.get(key) for key in _column(annotations, "image_id", int, Fields.key)]
    if None in owners:
        wrong = annotations[owners.index(None)]
        raise wrong.error("image_id", "an id that is among the file's images is needed")
    return np.array(owners, np.int64), _column(annotations, "category_id", int, Fields.key)


def _boxes(annotations: Sequence[Fields]) -> NDArray[np.float64]:
    """X, y, width and height (M, 4)."""
    values: list[Any] = [row.values.get("bbox") for row in annotations]
    if {*map(type, values)} <= {list} and {*map(len, values)} <= {4}:
        flat = list(chain.from_iterable(values))
        if {*map(type, flat)} <= {float}:
            return np.array(flat, np.float64).reshape(-1, 4)
    return np.array([_box(row) for row in annotations], np.float64).reshape(-1, 4)


def _box(row: Fields) -> list[float]:
    """The box of an annotation; around its segment where it has no box of its own."""
    if not row.values.get("bbox") and row.values.get("segmentation"):
        return box_of_segment(row)
    return row.numbers("bbox", 4, "four numbers x, y, width, height")


def _tell_segments(file: Path, annotations: Sequence[Fields]) -> list[Finding]:
    """How many boxes stand around segments."""
    made = [row for row in annotations if not row.values.get("bbox")]
    detail = f"{len(made)} of {len(annotations)}, around their segments"
    return [Finding("annotations without bbox", "kept", str(file), None, detail)] if made else []


def _areas(annotations: Sequence[Fields]) -> NDArray[np.float64]:
    """Areas (M,) of segments; 0 where one is left empty, as some tools do."""
    values = _column(annotations, "area", float, lambda row, k: row.number(k) if row.has(k) else 0)
    areas = np.array(values, np.float64)
    if not np.isfinite(areas).all():
        wrong = annotations[int(np.flatnonzero(~np.isfinite(areas))[0])]
        raise wrong.error("area", "a finite number is needed")
    return areas


def _crowds(annotations: Sequence[Fields]) -> list[bool | int]:
    found = _column(annotations, "iscrowd", int, Fields.flag)
    return found if {*found} <= {0, 1} else [row.flag("iscrowd") for row in annotations]


def _numbers(annotations: Sequence[Fields]) -> list[int]:
    """Ids of annotations; their numbers in the file where some are texts or too large."""
    keys = _column(annotations, "id", int, lambda row, k: row.key(k) if row.has(k) else 0)
    return keys if _are_numbers(keys) else list(range(1, len(keys) + 1))


def _are_numbers(keys: Sequence[Key]) -> bool:
    """Whether 64 bits hold all of them."""
    return all(isinstance(key, int) and -(2**63) <= key < 2**63 for key in keys)


def _files_of(root: Path, part: Part, names: Sequence[str]) -> list[str]:
    """Where the images lie: COCO names the folder as the annotation file, others do not."""
    base, stem = part.file.parent if root.is_file() else root, part.file.stem
    above, stem = (
        part.file.parent,
        stem.removeprefix("instances_").removeprefix("person_keypoints_"),
    )
    guesses = [base / stem, base / "images" / stem, above / stem, above.parent / stem]
    guesses += [above / "images", above / "data", base / "images", above, base]
    if part.images is not None:
        guesses = [part.images / stem, part.images]
    some = [name.replace("\\", "/") for name in names[:: -(-len(names) // _LOOKED_FOR) or 1]]

    def held(guess: Path) -> tuple[int, int]:
        lone = (name.rpartition("/")[2] for name in some)
        return sum(is_there(guess / n) for n in some), sum(is_there(guess / n) for n in lone)

    # The first of those that hold most: an image may be missing anywhere.
    folder = max(guesses, key=held)
    if not any(held(folder)):  # Below a folder of this part's name alone, if it is there.
        folder = next((guess for guess in guesses[:4] if is_folder(guess)), base)
    finder = Finder(part.images or folder, (folder,), described_by=part.file)
    # One look at the folder: a look for each of a million images would take a minute.
    here = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set[str]()
    where, inside = f"{part.file}: file_name", f"{folder}{os.sep}"
    return [
        inside + name
        if name in here
        else str(finder.find(name, where) or folder / name.replace("\\", "/"))
        for name in names
    ]


def to_coco(data: DetectionData) -> dict[str, Any]:
    """COCO's structure of any data set, with original ids: ground truth that anyone can score.

    Outlines and keypoints are in it where the reader kept them.
    """
    shapes = data.shapes or Shapes.of([None] * len(data.boxes))
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
                **(shapes.rows[k] or {}),
            }
            for k in range(len(bbox))
        ],
        "categories": [
            {**row, **shapes.points.get(str(row["name"]), {})} for row in data.classes.to_json()
        ],
    }
