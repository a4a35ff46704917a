"""Outlines and keypoints reach what can hold them, and are counted where they cannot."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from pycocotools import mask

from datasets.boxes.kind import BOXES
from datasets.boxes.opening import open_parts
from datasets.boxes.shapes import Shapes, polygon, shape_of
from datasets.boxes.structure import DetectionData
from datasets.boxes.turning import turn_shape, turned
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.images import turn_upright
from datasets.kind import CheckOptions
from tests.datasets.box_sets import coco, save_pictures, write

TRIANGLE = [10.0, 8.0, 30.0, 8.0, 20.0, 28.0]
MASK: dict[str, Any] = {"size": [48, 64], "counts": [490, 10, 38, 10, 2524]}
POINTS = [12, 9, 2, 0, 0, 0, 25, 20, 1]
ANNOTATED: list[dict[str, Any]] = [
    {"segmentation": [TRIANGLE]},
    {"segmentation": MASK, "iscrowd": 1},
    {"keypoints": POINTS, "num_keypoints": 2},
    {},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """COCO with an outline, a mask, keypoints and a plain box."""
    content = coco(tmp_path / "in")
    first = content["annotations"][0]
    content["annotations"] = [
        {**first, **more, "id": k} for k, more in enumerate(ANNOTATED, start=1)
    ]
    content["categories"][0] |= {"keypoints": ["nose", "ear", "paw"], "skeleton": [[1, 2]]}
    return write(tmp_path / "in", content)


def opened(path: Path) -> dict[str, DetectionData]:
    """As a conversion opens it."""
    assert BOXES.open_parts is not None
    return dict(BOXES.open_parts(path, CheckOptions()))


def shapes_of(data: DetectionData) -> list[Any]:
    assert data.shapes is not None
    found: list[Any] = data.shapes.rows.tolist()
    return found


@pytest.mark.parametrize("target", ["coco", "shards"])
def test_what_can_hold_them_gets_them(data: Path, tmp_path: Path, target: str) -> None:
    parts = opened(data)
    (tmp_path / "out").mkdir()
    written = write_boxes(TARGETS[target], parts, tmp_path / "out", link=False)
    assert not [note for note in written.notes if "outlines" in note]
    back = opened(tmp_path / "out")
    for split, one in parts.items():
        assert sum(map(bool, shapes_of(one))) >= 3
        assert sorted(map(str, shapes_of(back[split]))) == sorted(map(str, shapes_of(one)))
    if target == "coco":
        file = next((tmp_path / "out" / "annotations").iterdir())
        category = json.loads(file.read_text())["categories"][0]
        assert category["keypoints"] == ["nose", "ear", "paw"]
        assert category["skeleton"] == [[1, 2]]


@pytest.mark.parametrize("target", ["voc", "yolo"])
def test_what_cannot_says_how_many(data: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "out").mkdir()
    written = write_boxes(TARGETS[target], opened(data), tmp_path / "out", link=False)
    name = TARGETS[target].name
    outlines = 1 if target == "yolo" else 2  # The crowd is left out as a whole.
    said = f"{name} holds only boxes: {outlines} outlines and 1 sets of keypoints are left out"
    assert any(said in note for note in written.notes), written.notes


def test_a_training_keeps_none(data: Path) -> None:
    assert all(one.shapes is None for one in open_parts(data).values())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_turn_with_their_image(orientation: int) -> None:
    """A mask, and the polygon around the same pixels, lie on each other after a turn."""
    pixels = np.zeros((48, 64), np.uint8)
    pixels[5:20, 10:40] = 1
    coded = mask.encode(np.asfortranarray(pixels))
    shape = {
        "segmentation": {"size": [48, 64], "counts": coded["counts"].decode()},
        "keypoints": [10, 5, 2, 0, 0, 0],
        "num_keypoints": 1,
    }
    found = turn_shape(shape, orientation, (64, 48))
    upright = turn_upright(pixels, orientation)
    np.testing.assert_array_equal(mask.decode(found["segmentation"]), upright)
    corners = turn_shape(polygon(np.array([(10, 5), (40, 5), (40, 20)])), orientation, (64, 48))
    xs, ys = np.array(corners["segmentation"][0]).reshape(-1, 2).T
    rows, columns = np.nonzero(upright)
    assert (xs.min(), xs.max()) == (columns.min(), columns.max() + 1)
    assert (ys.min(), ys.max()) == (rows.min(), rows.max() + 1)
    x, y, seen, *nothing = found["keypoints"]
    assert seen == 2
    assert nothing == [0, 0, 0]
    assert (x in (columns.min(), columns.max() + 1)) & (y in (rows.min(), rows.max() + 1))


def test_turned_images_take_them_along(tmp_path: Path) -> None:
    """YOLO's polygons are drawn on the image as it is seen, COCO's on the stored one."""
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    exif = PilImage.Exif()
    exif[0x0112] = 6
    PilImage.new("RGB", (64, 48)).save(tmp_path / "images/train/a.jpg", exif=exif)
    (tmp_path / "labels/train/a.txt").write_text("0 0 0 .5 0 .5 .25\n0 .5 .5 .1 .1\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat]\n")
    (one,) = opened(tmp_path).values()
    assert shapes_of(one) == [{"segmentation": [[0, 0, 24, 0, 24, 16]]}, None]
    stored = turned(one, upright=False)
    assert shapes_of(stored) == [{"segmentation": [[0, 48, 0, 24, 16, 24]]}, None]
    assert stored.boxes[0].tolist() == [0, 24, 16, 48]
    assert shapes_of(one)[0] == {"segmentation": [[0, 0, 24, 0, 24, 16]]}


def test_keypoints_of_yolo(tmp_path: Path) -> None:
    for each, numbers, seen in ((2, ".5 .5 0 0", 2), (3, ".5 .5 1 0 0 0", 1)):
        root = tmp_path / str(each)
        save_pictures(root / "images" / "train", ["a.jpg"])
        (root / "labels" / "train").mkdir(parents=True)
        (root / "labels/train/a.txt").write_text(f"0 .5 .5 .2 .2 {numbers}\n")
        (root / "data.yaml").write_text(
            f"train: images/train\nnames: [cat]\nkpt_shape: [2, {each}]\n"
        )
        (one,) = opened(root).values()
        (shape,) = shapes_of(one)
        width, height = one.sizes[0].tolist()
        assert shape["keypoints"][:3] == [width / 2, height / 2, seen]


@pytest.mark.parametrize(
    ("values", "good"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, None),
        ({"segmentation": [[1, 2, 3, 4, 5]]}, None),
        ({"segmentation": "x", "keypoints": [1, 2, 2]}, {"keypoints": [1, 2, 2]}),
        ({"segmentation": {"size": [1]}}, None),
        ({"segmentation": {"size": [48, 64], "counts": [490, 10]}}, None),
        ({"segmentation": {"size": [48, 64], "counts": "PPYo1"}}, None),
        ({"segmentation": {"size": [-48, -64], "counts": [3072]}}, None),
        ({"keypoints": [1, 2]}, None),
        ({"keypoints": [1, "b", 2]}, None),
        ({"num_keypoints": "3"}, None),
    ],
)
def test_what_has_no_known_form_is_left_out(values: dict[str, Any], good: Any) -> None:
    assert shape_of(values) == (good, True)


def test_counts() -> None:
    rows = [polygon(np.ones((3, 2))), None, {"keypoints": [1, 1, 2]}]
    assert Shapes.of(rows).counts() == "1 outlines and 1 sets of keypoints"
    assert Shapes.of([None]).counts() == ""
    assert Shapes.of(rows).select(np.array([1])).counts() == ""
