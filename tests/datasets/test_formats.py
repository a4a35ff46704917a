"""COCO, Pascal VOC and YOLO folders: recognised, read, and wrong ones named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
from datasets.types import ClassMap, read_labels
from tests.datasets.fakes import (  # fmt: skip
    GOOD_BOXES,
    coco_content,
    save_pictures,
    voc_xml,
    write_coco,
    write_voc,
    write_yolo,
)


def test_coco(tmp_path: Path) -> None:
    data = open_detection(write_coco(tmp_path, GOOD_BOXES, images=3), "train")
    assert data.format == "coco"
    assert data.classes == ClassMap((3, 7), ("cat", "dog"))
    assert data.image_ids.tolist() == [10, 11, 12]
    first, empty = data.target(0), data.target(2)
    assert first["boxes"].tolist() == [[4, 6, 24, 36], [30.5, 2, 40.5, 14]]
    assert first["labels"].tolist() == [1, 2]
    assert empty["boxes"].shape == (0, 4)
    assert data.image(1).shape == (48, 64, 3)


def test_coco_ground_truth_is_written_back(tmp_path: Path) -> None:
    data = open_detection(write_coco(tmp_path, GOOD_BOXES), "val")
    rows = to_coco(data)["annotations"]
    assert [(r["image_id"], r["category_id"], r["bbox"]) for r in rows] == [
        (image, category, [float(v) for v in box]) for image, category, box in GOOD_BOXES
    ]
    assert [row["area"] for row in rows] == [1, 1, 1]  # The segment's, not the box's.
    assert to_coco(data)["categories"] == [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


def test_a_single_coco_file_and_roboflows_layout(tmp_path: Path) -> None:
    save_pictures(tmp_path / "train", ["0.png", "1.png"])
    file = tmp_path / "train" / "_annotations.coco.json"
    file.write_text(json.dumps(coco_content(GOOD_BOXES)))
    assert len(open_detection(file, "all")) == 2
    assert len(open_detection(tmp_path, "all")) == 2


@pytest.mark.slow
def test_a_set_in_one_part_is_parted_by_name(tmp_path: Path) -> None:
    write_yolo(tmp_path, {str(k): "0 .5 .5 .2 .2" for k in range(100)})
    file = tmp_path / "data.yaml"
    file.write_text(file.read_text().replace("val: images/train\n", ""))
    parts = {split: open_detection(tmp_path, split) for split in ("train", "val", "all")}
    names = {split: set(part.files.tolist()) for split, part in parts.items()}
    assert names["train"] | names["val"] == names["all"]
    assert not names["train"] & names["val"]
    assert 10 <= len(names["val"]) <= 30


def test_voc(tmp_path: Path) -> None:
    train, val = (open_detection(write_voc(tmp_path / s), s) for s in ("train", "val"))
    assert train.format == "voc"
    assert train.classes == val.classes
    assert len(train.classes) == 20  # All names are VOC's, so it is VOC's list.
    target = train.target(0)
    # VOC counts from 1 and includes the last pixel.
    assert target["boxes"].tolist() == [[4, 6, 24, 36], [0, 0, 64, 48]]
    assert [train.classes.names[k - 1] for k in target["labels"]] == ["dog", "cat"]
    assert target["iscrowd"].tolist() == [False, True]  # Difficult: not counted.
    assert not len(train.target(1)["boxes"])
    assert [Path(f).name for f in val.files] == ["c.jpg"]


def test_xml_beside_pictures(tmp_path: Path) -> None:
    save_pictures(tmp_path, [f"{k}.png" for k in range(30)])
    for k in range(30):
        (tmp_path / f"{k}.xml").write_text(
            voc_xml([("screw", (1, 1, 9, 9), False)], width=0, height=0)
        )
    train, val = open_detection(tmp_path, "train"), open_detection(tmp_path, "val")
    assert len(train) + len(val) == 30
    assert train.classes.names == ("screw",)
    assert train.sizes[0].tolist() == [64, 48]  # The file says 0: the picture's header tells.


def test_pets_take_breeds_from_the_list(tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", ["Bengal_1.jpg", "pug_7.jpg", "pug_8.jpg"])
    xmls = tmp_path / "annotations" / "xmls"
    xmls.mkdir(parents=True)
    for stem in ("Bengal_1", "pug_7"):
        (xmls / f"{stem}.xml").write_text(voc_xml([("cat", (1, 1, 9, 9), False)]))
    (tmp_path / "annotations/trainval.txt").write_text(
        "# a comment\nBengal_1 6 1 2\npug_7 29 2 20\npug_8 29 2 20\n"
    )
    (tmp_path / "annotations/test.txt").write_text("pug_8 29 2 20\n")
    data = open_detection(tmp_path, "all")  # The test list has no boxes at all: one part.
    assert data.classes == ClassMap((6, 29), ("Bengal", "pug"))
    assert len(data) == 2  # pug_8 has no boxes to learn from.


def test_yolo(tmp_path: Path) -> None:
    lines = {"a": "1 .5 .5 .5 .25\n0 .25 .25 .1 .1\n", "b": "", "c": "0 0 0 1 0 1 1 0 1"}
    data = open_detection(write_yolo(tmp_path, lines), "train")
    assert data.format == "yolo"
    assert data.classes == ClassMap((0, 1), ("cat", "dog"))
    assert data.target(0)["boxes"][0].tolist() == [16, 18, 48, 30]
    assert data.target(0)["labels"].tolist() == [2, 1]
    assert not len(data.target(1)["boxes"])
    assert data.target(2)["boxes"].tolist() == [[0, 0, 64, 48]]  # A polygon's box.
    assert {row["category_id"] for row in to_coco(data)["annotations"]} == {0, 1}


def test_yolo_names_with_gaps(tmp_path: Path) -> None:
    data = open_detection(write_yolo(tmp_path, {"a": "5 .5 .5 .5 .5"}, "{2: cat, 5: dog}"), "val")
    assert data.classes == ClassMap((2, 5), ("cat", "dog"))
    assert data.labels.tolist() == [2]


def turned(path: Path) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = 6
    PilImage.new("RGB", (64, 48), (9, 9, 9)).save(path, exif=exif)


def test_turned_photos_fit_their_boxes(tmp_path: Path) -> None:
    """YOLO's boxes lie on the turned picture; COCO's on the one whose size it records."""
    write_yolo(tmp_path / "yolo", {"a": "0 .5 .5 .5 .5"})
    turned(tmp_path / "yolo/images/train/a.jpg")
    (tmp_path / "yolo/images/train/a.png").unlink()
    data = open_detection(tmp_path / "yolo", "train")
    assert data.sizes.tolist() == [[48, 64]]
    assert data.image(0).shape == (64, 48, 3)
    for width, height in ((64, 48), (48, 64)):
        root = tmp_path / f"coco{width}"
        content = coco_content([(10, 3, [1, 1, 9, 9])], images=1)
        content["images"][0] |= {"file_name": "a.jpg", "width": width, "height": height}
        (root / "annotations").mkdir(parents=True)
        (root / "annotations/instances_train.json").write_text(json.dumps(content))
        (root / "train").mkdir()
        turned(root / "train/a.jpg")
        assert open_detection(root, "all").image(0).shape == (height, width, 3)


def test_boxes_on_another_size_are_refused(tmp_path: Path) -> None:
    data = open_detection(write_coco(tmp_path, GOOD_BOXES), "train")
    save_pictures(tmp_path / "train2017", ["0.png"], width=32, height=32)
    with pytest.raises(ValueError, match=r"0\.png: the image has 32x32 pixels, but .* 64x48"):
        data.image(0)


def change(part: str, **fields: Any) -> Any:
    def edit(content: dict[str, Any]) -> None:
        content[part][0].update(fields)

    return edit


def remove(part: str, field: str | None = None) -> Any:
    def edit(content: dict[str, Any]) -> None:
        if field:
            del content[part][0][field]
        else:
            del content[part]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            change("annotations", image_id=99),
            r"annotations\[0\]\.image_id: 99; an id that is among",
        ),
        (change("annotations", category_id=4), r"annotations\[0\]\.category_id: 4; .* 3, 7"),
        (change("annotations", bbox=[1, 2, 3]), r"annotations\[0\]\.bbox: \[1, 2, 3\]; four"),
        (change("annotations", bbox=[1, 2, "x", 4]), "four numbers x, y, width, height"),
        (change("images", id=11), "image id 11 occurs twice"),
        (change("categories", id=3), "class id 3 occurs twice"),
        (change("categories", name="cat"), "class name 'cat' occurs twice"),
        (remove("annotations"), "no 'annotations' in it"),
        (remove("images", "width"), r"images\[0\]: no 'width'"),
        (remove("annotations", "bbox"), r"annotations\[0\]: no 'bbox'"),
    ],
)
def test_damaged_coco_files_are_named(tmp_path: Path, edit: Any, message: str) -> None:
    write_coco(tmp_path, GOOD_BOXES)
    file = tmp_path / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        open_detection(tmp_path, "train")
    assert "instances_train2017.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"images": [', "line 1, column 13: not valid JSON"), ("[1, 2]", r"\[1, 2\]; an object")],
)
def test_broken_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    write_coco(tmp_path, GOOD_BOXES)
    (tmp_path / "annotations/instances_train2017.json").write_text(text)
    with pytest.raises(ValueError, match=rf"instances_train2017\.json: {message}"):
        open_detection(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .5", r"a\.txt:1: 4 numbers"),
        ("0 .5 .5 x .5", r"a\.txt:1: .* not made of numbers"),
        ("7 .5 .5 .5 .5", r"a\.txt:1: class 7 is not among the listed 0\.\.1; correct"),
    ],
)
def test_damaged_yolo_labels_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_detection(write_yolo(tmp_path, {"a": line}), "train")


def test_damaged_yolo_data_files_are_named(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": "0 .5 .5 .5 .5"})
    for text, message in (("train: [", "not valid YAML"), ("train: images/train", "no 'names'")):
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            open_detection(tmp_path, "train")


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation><object>", r"0\.xml: damaged XML"),
        (voc_xml([("", (1, 1, 9, 9), False)]), r"0\.xml: object 1 has no <name>"),
        (
            voc_xml([("cat", (1, 1, 9, 9), False)]).replace("<ymax>9", "<ymax>tall"),
            r"0\.xml: object 1 has <ymax> 'tall'",
        ),
    ],
)
def test_damaged_voc_files_are_named(tmp_path: Path, xml: str, message: str) -> None:
    save_pictures(tmp_path, ["0.png"])
    (tmp_path / "0.xml").write_text(xml)
    with pytest.raises(ValueError, match=message):
        open_detection(tmp_path, "all")


def test_unknown_folders_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"COCO.*VOC.*YOLO"):
        open_detection(tmp_path, "train")
    with pytest.raises(ValueError, match="no such file or folder"):
        open_detection(tmp_path / "gone", "train")


def test_label_files(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("???\nperson\n???\ncat\n")
    assert read_labels(file) == ClassMap((1, 2, 3), ("person", "unused 2", "cat"))
    file.write_text("cat\ncat\n")
    with pytest.raises(ValueError, match="'cat' occurs twice"):
        read_labels(file)


@pytest.mark.slow
def test_real_sets(real_data: Path) -> None:
    coco = open_detection(real_data / "coco", "val")
    assert len(coco) == 79
    assert len(coco.classes) == 80
    assert coco.classes.ids[-1] == 90
    pets = open_detection(real_data / "pets", "all")
    assert len(pets) == 296  # Of 598 listed ones the others have no boxes.
    assert pets.classes == ClassMap((1, 2, 6), ("Abyssinian", "american_bulldog", "Bengal"))
    assert np.isfinite(pets.boxes).all()
