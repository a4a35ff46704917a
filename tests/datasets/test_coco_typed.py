"""COCO's files by type: what is read is what the reader of single fields reads."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes import coco
from datasets.boxes.coco import Part, read
from datasets.boxes.coco_typed import typed_columns

IMAGES: list[dict[str, Any]] = [
    {"id": 9, "file_name": "b.jpg", "width": 64, "height": 48},
    {"id": 3, "file_name": "a/ä.jpg", "width": 20, "height": 30, "license": None},
    {"id": 5, "file_name": "c.jpg", "width": 20, "height": 30},
]
ROWS: list[dict[str, Any]] = [
    {"id": 1, "image_id": 3, "category_id": 7, "bbox": [1, 2.5, 3, 4], "area": 12, "iscrowd": 0},
    {"id": 2, "image_id": 9, "category_id": 2, "bbox": [0, 0, 9, 9.25], "area": 0.0, "iscrowd": 1},
    {"id": 3, "image_id": 3, "category_id": 2, "bbox": [5, 5, 1, 1], "area": 1.5,
     "segmentation": [[1, 2, 3, 4, 5, 6]]},
]  # fmt: skip
CLASSES: list[dict[str, Any]] = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]


def write(
    root: Path,
    images: object = IMAGES,
    annotations: object = ROWS,
    categories: object = CLASSES,
) -> Path:
    file = root / "instances_train2017.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def both(root: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What each of the readers reads, or how it refuses."""
    found = []
    for _ in range(2):
        try:
            found.append(read(root, Part(file)))
        except ValueError as error:
            found.append(str(error))
        monkeypatch.setattr(coco, "typed_columns", lambda _: None)
    return found[0], found[1]


@pytest.mark.parametrize(
    "rows", [ROWS, [], ROWS[:1], [*ROWS, {**ROWS[0], "id": 2**62}], [{**ROWS[0], "iscrowd": 1}]]
)
def test_usual_files_are_read_by_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]
) -> None:
    file = write(tmp_path, annotations=rows)
    assert typed_columns(file) is not None
    quick, slow = both(tmp_path, file, monkeypatch)
    for field in fields(slow):
        mine, theirs = getattr(quick, field.name), getattr(slow, field.name)
        np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        if isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype, field.name


@pytest.mark.parametrize(
    "changed",
    [
        {"annotations": [{**ROWS[0], "image_id": 4}]},
        {"annotations": [{**ROWS[0], "category_id": 4}]},
        {"annotations": [{**ROWS[0], "category_id": "7"}]},
        {"annotations": [{**ROWS[0], "bbox": [1, 2, 3]}]},
        {"annotations": [{**ROWS[0], "bbox": [1, 2, 3, float("nan")]}]},
        {"annotations": [{**ROWS[0], "bbox": [], "segmentation": [[1, 1, 9, 1, 9, 9]]}]},
        {"annotations": [{**ROWS[0], "iscrowd": True}]},
        {"annotations": [{**ROWS[0], "iscrowd": 2}]},
        {"annotations": [{**ROWS[0], "area": None}]},
        {"annotations": [{**ROWS[0], "area": float("inf")}]},
        {"annotations": [{**ROWS[0], "id": 2**70}]},
        {"annotations": [{key: ROWS[0][key] for key in ROWS[0] if key != "id"}]},
        {"annotations": {}},
        {"images": [*IMAGES, IMAGES[0]]},
        {"images": [{**IMAGES[0], "id": "9"}, *IMAGES[1:]]},
        {"images": [{**IMAGES[0], "width": -1}, *IMAGES[1:]]},
        {"images": [{**IMAGES[0], "file_name": "b\0.jpg"}, *IMAGES[1:]]},
        {"images": []},
        {"categories": []},
        {"categories": [*CLASSES, {"id": 7, "name": "eel"}]},
        {"categories": "cat"},
    ],
)
def test_other_files_end_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    file = write(tmp_path, **changed)
    quick, slow = both(tmp_path, file, monkeypatch)
    if isinstance(slow, str):
        assert quick == slow
    else:
        for field in fields(slow):
            np.testing.assert_array_equal(getattr(quick, field.name), getattr(slow, field.name))


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b" \n"])
def test_marks_and_blanks_before_it(tmp_path: Path, start: bytes) -> None:
    file = write(tmp_path)
    file.write_bytes(start + file.read_bytes())
    assert len(read(tmp_path, Part(file))) == 3
