"""COCO files as people really have them, each with its right answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
from tests.datasets.box_sets import (
    coco,
    doctor,
    is_right,
    refused,
    write,
)


def test_crowds_alone_teach_nothing(tmp_path: Path) -> None:
    write(tmp_path, coco(tmp_path, iscrowd=1))
    refused(tmp_path, "no boxes: none to learn from; all 6 are marked as crowd or difficult")


@pytest.mark.parametrize("flag", ["0", 0.0, False, None, "false"])
def test_flags_are_read_whatever_their_type(tmp_path: Path, flag: object) -> None:
    write(tmp_path, coco(tmp_path, iscrowd=flag))
    assert not open_detection(tmp_path, "all").iscrowd.any()


@pytest.mark.parametrize("of", [lambda k: 20240131093000000000 + k, lambda k: f"frame-{k}"])
def test_image_ids_are_any_number_or_text(tmp_path: Path, of: Any) -> None:
    content = coco(tmp_path)
    for k in range(6):
        content["images"][k]["id"] = content["annotations"][k]["image_id"] = of(k)
    data = open_detection(write(tmp_path, content), "all")
    is_right(data)
    assert data.own_ids == {k + 1: of(k) for k in range(6)}
    held = open_detection(tmp_path, "val")
    assert {held.own_ids[k] for k in held.image_ids.tolist()} <= {of(k) for k in range(6)}
    assert [row["id"] for row in to_coco(data)["images"]] == [1, 2, 3, 4, 5, 6]


def test_a_mark_in_front_of_json(tmp_path: Path) -> None:
    is_right(open_detection(write(tmp_path, coco(tmp_path), "utf-8-sig"), "all"))


def test_ids_of_two_types_are_the_same(tmp_path: Path) -> None:
    content = coco(tmp_path)
    for row in content["annotations"]:
        row["category_id"] = str(row["category_id"])
    is_right(open_detection(write(tmp_path, content), "all"))


def test_categories_named_by_text(tmp_path: Path) -> None:
    content = coco(tmp_path)
    content["categories"] = [{"id": "c", "name": "car"}, {"id": "b", "name": "bus"}]
    for row in content["annotations"]:
        row["category_id"] = "cb"[row["category_id"] - 1]
    is_right(open_detection(write(tmp_path, content), "all"))


@pytest.mark.parametrize("name", ["instances_all.json", "boxes.json"])
def test_json_cut_short_is_an_error_about_that_file(tmp_path: Path, name: str) -> None:
    """Whatever the folder would be without it."""
    file = write(tmp_path, coco(tmp_path)) / "annotations/instances_all.json"
    (tmp_path / "annotations" / name).write_bytes(file.read_bytes()[:900])
    if file.name != name:
        file.unlink()
    refused(tmp_path, f"{name}: line 1, column", "not valid JSON", "ends too early")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "images: null; a list is needed"),
        ({"images": {}}, "images: an object; a list is needed"),
        ({"annotations": [3]}, "annotations[0]: 3; an object with named fields is needed"),
        ({"categories": [{"id": 1, "name": 2}]}, "categories[0].name: 2; a text is needed"),
    ],
)
def test_lists_of_another_type_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    refused(write(tmp_path, coco(tmp_path) | change), "instances_all.json", message)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("annotations", "area", "1481 px", "annotations[3].area: '1481 px'; a number is needed"),
        ("annotations", "bbox", [1, 2, None, 4], "annotations[3].bbox: [1, 2, None, 4]; four"),
        ("annotations", "bbox", "10 8 20 20", "annotations[3].bbox: '10 8 20 20'; four numbers"),
        ("annotations", "iscrowd", 7, "annotations[3].iscrowd: 7; 0 or 1 is needed"),
        ("annotations", "image_id", [1], "annotations[3].image_id: [1]; a whole number or a text"),
        ("images", "file_name", None, "images[3].file_name: null; a text is needed"),
        ("images", "file_name", "a\0b", "images[3].file_name: "),
        ("images", "file_name", "\ud800.png", "images[3].file_name: "),
        ("images", "width", "wide", "images[3].width: 'wide'; a whole number from 0"),
        ("images", "height", 10**30, "images[3].height: 1000"),
        ("images", "height", -4, "images[3].height: -4; a whole number from 0"),
    ],
)
def test_fields_of_another_type_are_named(
    tmp_path: Path, part: str, field: str, value: object, message: str
) -> None:
    content = coco(tmp_path)
    content[part][3][field] = value
    refused(write(tmp_path, content), "instances_all.json", message)


def test_roboflows_group_is_no_class(tmp_path: Path) -> None:
    content = coco(tmp_path)
    content["categories"] = [
        {"id": 0, "name": "car", "supercategory": "none"},
        {"id": 1, "name": "car", "supercategory": "car"},
        {"id": 2, "name": "bus", "supercategory": "car"},
    ]
    checkup = doctor(write(tmp_path, content))
    is_right(checkup.data)
    assert checkup.counts() == {"category 'car' left out (dropped)": 1}


@pytest.mark.parametrize("prefix", ["images\\", "C:\\Users\\anna\\set\\", "/home/anna/set/"])
def test_names_of_another_machine(tmp_path: Path, prefix: str) -> None:
    content = coco(tmp_path)
    for row in content["images"]:
        row["file_name"] = prefix + row["file_name"]
    checkup = doctor(write(tmp_path, content))
    is_right(checkup.data)
    assert not checkup.findings


def test_two_files_of_one_part_are_a_question(tmp_path: Path) -> None:
    content = json.dumps(coco(tmp_path))
    for name in ("boxes.json", "more.json"):
        (tmp_path / "annotations" / name).write_text(content)
    refused(tmp_path, "holds boxes.json and more.json", "name the file itself")


# YOLO.
