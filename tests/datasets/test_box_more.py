"""KITTI's labels, Hugging Face's metadata, and COCO's segments without boxes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask

from datasets.boxes.opening import open_detection
from datasets.boxes.tree import Hints
from datasets.errors import InputError
from tests.datasets.box_sets import BOX, NAMES, coco, is_right, refused, save_pictures, told, write
from tests.datasets.tool_sets import ROW, hugging_face, kitti


def test_kitti(tmp_path: Path) -> None:
    root = kitti(tmp_path)
    for path in (root, root / "training"):
        data = open_detection(path, "all")
        assert data.boxes.tolist() == [BOX] * 6
        assert data.classes.names == ("Bus", "Car")
        assert data.labels.tolist() == [2, 1] * 3
    assert not told(root)


def test_kittis_ignored_regions(tmp_path: Path) -> None:
    root = kitti(tmp_path)
    rows = [ROW.format("Car"), "DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10"]
    (root / "training/label_2/0.txt").write_text("\n".join(rows))
    (root / "training/label_2/1.txt").unlink()
    data = open_detection(root, "all")
    assert data.target(0)["iscrowd"].tolist() == [False, True, True]
    assert data.target(0)["labels"].tolist() == [2, 1, 2]
    assert told(root) == {
        "DontCare regions (kept)": "1 (as crowds of every class): 0.png",
        "images without label file (dropped)": "1 (not used): 1.png",
    }


def test_kittis_lists(tmp_path: Path) -> None:
    root = kitti(tmp_path)
    (root / "ImageSets").mkdir()
    (root / "ImageSets/train.txt").write_text("0\n1\n2\n")
    (root / "ImageSets/val.txt").write_text("4\n5\n6\n")
    assert len(open_detection(root, "train")) == 3
    assert [Path(f).name for f in open_detection(root, "val").files] == ["4.png", "5.png"]
    assert told(root) == {"labels in no part (dropped)": "2 (or listed without label file): 6, 3"}


def test_kittis_parts_number_alike(tmp_path: Path) -> None:
    for part in ("train", "val"):
        kitti(tmp_path / part)
        for name in ("image_2", "label_2"):
            (tmp_path / part / "training" / name).rename(tmp_path / part / name)
    for part in ("train", "val"):
        files = open_detection(tmp_path, part).files.tolist()
        assert files == [str(tmp_path / part / "image_2" / name) for name in NAMES]


def test_damaged_kitti(tmp_path: Path) -> None:
    root = kitti(tmp_path)
    file = root / "training/label_2/3.txt"
    for text in (ROW.format("Car")[:-6], ROW.format("Car").replace("8.00", "top")):
        file.write_text(f"{ROW.format('Car')}\n{text}\n")
        refused(root, "3.txt:2: 'Car 0.00", "is no label of 15 columns")
    (root / "training/image_2").rename(root / "pictures")
    with pytest.raises(
        InputError, match=r"Nearest is kitti: .*no image_2/ beside label_2/; or name"
    ):
        open_detection(root, "all")
    file.write_text(ROW.format("Car"))
    assert len(open_detection(root, "all", hints=Hints(images=root / "pictures"))) == 6


@pytest.mark.parametrize("key", ["categories", "category", "label"])
def test_hugging_face(tmp_path: Path, key: str) -> None:
    root = hugging_face(tmp_path, key)
    data = open_detection(root, "all")
    assert data.boxes.tolist() == [BOX] * 6
    assert data.classes.names == ("bus", "car")
    assert data.labels.tolist() == [2, 1] * 3
    assert not told(root)


def test_hugging_face_with_numbers(tmp_path: Path) -> None:
    root = hugging_face(tmp_path, kinds=(0, 1))
    assert open_detection(root, "all").classes.names == ("0", "1")
    (root / "classes.txt").write_text("car\nbus\n")
    is_right(open_detection(root, "all"))
    (root / "classes.txt").write_text("car\n")
    refused(root, "metadata.jsonl: line 2: objects.object 0.categories: 1; the listed classes are")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[10, 8, 20, 20]]", "[[10, 8, 20]]", "line 1: objects.object 0.bbox: [10, 8, 20]; four"),
        ("[[10, 8, 20, 20]]", "[]", "line 1: objects.categories: ['car']; a list of 0 classes"),
        ("[[10, 8, 20, 20]]", "7", "line 1: objects.bbox: 7; a list of boxes"),
        ('{"file_name": "0.png"', '"file_name": "0.png"', "line 1: line 1, column 12: not valid"),
        ('"0.png"', "0", "line 1: file_name: 0; a text is needed"),
    ],
)
def test_damaged_metadata(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = hugging_face(tmp_path)
    file = root / "train/metadata.jsonl"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    refused(root, "metadata.jsonl", message)


def test_lines_without_objects(tmp_path: Path) -> None:
    root = hugging_face(tmp_path)
    save_pictures(root / "train", ["new.png", "other.png"])
    with (root / "train/metadata.jsonl").open("a") as file:
        file.write('{"file_name": "new.png"}\n\n')
    assert told(root) == {
        "lines without objects (dropped)": "1 (not labelled yet): new.png",
        "images without line (dropped)": "1 (not used): other.png",
    }


def runs(*, packed: bool) -> dict[str, Any]:
    """The mask of the box: columns 10 to 29, rows 8 to 27 of 48."""
    pixels = np.zeros((48, 64), np.uint8, order="F")
    pixels[8:28, 10:30] = 1
    if packed:
        return {"size": [48, 64], "counts": mask.encode(pixels)["counts"].decode()}
    counts = [10 * 48 + 8, *([20, 28] * 19), 20, 20 + 34 * 48]
    return {"size": [48, 64], "counts": counts}


SEGMENTS = [
    [[10, 8, 30, 8, 20, 28]],
    [[10, 8, 12, 8, 12, 10], [28, 26, 30, 28, 28, 28]],
    runs(packed=False),
    runs(packed=True),
]


@pytest.mark.parametrize("segment", SEGMENTS)
def test_boxes_around_segments(tmp_path: Path, segment: Any) -> None:
    content = coco(tmp_path, segmentation=segment)
    for row in content["annotations"][:3]:
        row["bbox"] = []
    for row in content["annotations"][3:]:
        del row["bbox"]
    write(tmp_path, content)
    is_right(open_detection(tmp_path, "all"))
    assert told(tmp_path) == {"annotations without bbox (kept)": "6 of 6, around their segments"}


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ([[1, 2, 3]], "polygons x, y, x, y"),
        ([["a", 2]], "polygons x, y, x, y"),
        ({"size": [48, 64], "counts": [5, 5]}, "runs of 3072 pixels in all"),
        ({"size": [48, 64], "counts": [3072]}, "a mask that is not empty"),
        ({"size": [48, 64], "counts": "zzzz9"}, "runs of 3072 pixels in all"),
        ({"size": [48, 64], "counts": [-5, 3077]}, "runs of 3072 pixels in all"),
        ({"size": [0, 64], "counts": []}, "height and width of an image"),
        ({"size": [10**9, 10**9], "counts": []}, "height and width of an image"),
    ],
)
def test_damaged_segments(tmp_path: Path, segment: Any, message: str) -> None:
    content = coco(tmp_path)
    content["annotations"][3] |= {"bbox": None, "segmentation": segment}
    refused(write(tmp_path, content), "annotations[3].segmentation", message)
