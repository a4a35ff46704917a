"""What predict.py writes, read again by the suite's own readers."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.tools import Predict
from datasets.boxes.opening import open_detection
from datasets.boxes.structure import DetectionData
from datasets.errors import InputError
from tasks.detection.answer import BoxAnswers
from tasks.detection.spec import KeepSpec
from tasks.plain_rows import named_row, one_row, ranked_row
from tests.conftest import Tool
from tests.exports import SHAPES, Exports
from tests.tools.predicted import EASY, draw_album, lines_of
from tools.flows.results import Names

pytestmark = pytest.mark.slow


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return draw_album(tmp_path / "album", 6)


@pytest.fixture
def predicted(tool: Tool, album: Path, tmp_path: Path, exports: Exports) -> Any:
    """Predict on the album with a model; returns the folder of the results."""

    def run(kind: str, *flags: object) -> Path:
        out = tmp_path / f"{kind}-{flags[1] if len(flags) > 1 else ''}"
        args = (exports.file(kind), album, *flags, "--out", out, "--threads", 1)
        status, _, err = tool("predict", *args)
        assert status == 0, err
        return out

    return run


def boxes_of(data: DetectionData) -> dict[str, list[tuple[str, NDArray[np.float64]]]]:
    """Class and box of the objects of each image, by the name of its file."""
    found = {}
    for index, file in enumerate(data.files.tolist()):
        rows = range(data.offsets[index], data.offsets[index + 1])
        names = [data.classes.names[data.labels[row] - 1] for row in rows]
        found[Path(file).name] = list(zip(names, data.boxes[[*rows]], strict=True))
    return found


@pytest.fixture
def truth(predicted: Any) -> dict[str, list[tuple[str, NDArray[np.float64]]]]:
    """The same of the JSON lines."""
    found = {}
    for row in lines_of(predicted("ssd", "--format", "jsonl", "--no-draw", *EASY)):
        boxes = [np.array(one["bbox"]) for one in row["objects"]]
        corners = [np.concatenate((box[:2], box[:2] + box[2:])) for box in boxes]
        names = [one["category"] for one in row["objects"]]
        found[Path(row["file"]).name] = list(zip(names, corners, strict=True))
    assert all(found.values())
    return found


def same(
    ours: dict[str, list[tuple[str, NDArray[np.float64]]]],
    theirs: dict[str, list[tuple[str, NDArray[np.float64]]]],
    within: float,
) -> None:
    assert ours.keys() == theirs.keys()
    for name, objects in ours.items():
        assert [one for one, _ in objects] == [one for one, _ in theirs[name]]
        for (_, one), (_, other) in zip(objects, theirs[name], strict=True):
            np.testing.assert_allclose(one, other, atol=within)


def test_coco(truth: Any, predicted: Any, album: Path) -> None:
    out = predicted("ssd", "--format", "json", *EASY)
    found = json.loads((out / "predictions.json").read_text())
    assert [one["id"] for one in found["annotations"]] == [
        *range(1, len(found["annotations"]) + 1)
    ]
    assert "category" not in found["annotations"][0]
    shutil.copytree(album, out / "images")
    for row in found["images"]:
        row["file_name"] = str(Path(row["file_name"]).relative_to(album))
    (out / "images" / "annotations.json").write_text(json.dumps(found))
    same(truth, boxes_of(open_detection(out / "images", "train", whole=True)), 0.02)


def test_yolo(truth: Any, predicted: Any, album: Path) -> None:
    """Images belong beside the labels, where the data.yaml looks for them."""
    out = predicted("ssd", "--format", "yolo", *EASY)
    assert (out / "classes.txt").read_text().split() == list(SHAPES.names)
    assert (out / "drawn" / "left" / "001.png").exists()
    assert len(lines_of(out)) == 6
    shutil.copytree(album, out / "images")
    same(truth, boxes_of(open_detection(out / "data.yaml", "train", whole=True)), 0.01)


def test_voc(truth: Any, predicted: Any, album: Path) -> None:
    """Whole pixels; the tree of the images is that of the XML files."""
    out = predicted("ssd", "--format", "voc", "--no-draw", *EASY)
    found: dict[str, Any] = {}
    for side in ("left", "right"):
        part = out.parent / side
        shutil.copytree(out / "Annotations" / side, part / "Annotations")
        shutil.copytree(album / side, part / "JPEGImages")
        found |= boxes_of(open_detection(part, "train", whole=True))
    same(truth, found, 1.01)


def test_csv_of_boxes(truth: Any, predicted: Any) -> None:
    out = predicted("ssd", "--format", "csv", "--no-draw", *EASY)
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["file", "width", "height", "category", "score"]
    assert [row["category"] for row in rows] == [name for found in truth.values()
                                                 for name, _ in found]  # fmt: skip


def test_csv_of_an_image_without_objects(predicted: Any) -> None:
    out = predicted("ssd", "--format", "csv", "--no-draw", "--score-threshold", 1)
    rows = list(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert [row["category"] for row in rows] == [""] * 6


@pytest.mark.parametrize("kind", ["classifier", "attributes", "places"])
def test_tables_of_others(kind: str, predicted: Any) -> None:
    lines = lines_of(predicted(kind, "--format", "jsonl", "--no-draw"))
    out = predicted(kind, "--format", "csv", "--no-draw")
    rows = list(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert len(rows) == len(lines) == 6
    titles = {
        "classifier": "class_1",
        "attributes": "Eyeglasses",
        "places": "region.radius_km",
    }
    assert all(row[titles[kind]] for row in rows)
    for line, row in zip(lines, rows, strict=True):
        assert row["file"] == line["file"]
        if kind == "classifier":
            assert row["class_1"] == line["classes"][0]
            assert float(row["probability_1"]) == line["probabilities"][0]


@pytest.mark.parametrize("form", ["yolo", "voc"])
def test_boxes_that_nobody_finds(form: str, tool: Tool, exports: Exports, album: Path) -> None:
    status, _, err = tool("predict", exports.file("classifier"), album, "--format", form)
    assert status == 2
    assert f"--format {form}: holds boxes, and classification finds none" in err


def test_crops(truth: Any, predicted: Any) -> None:
    out = predicted("ssd", "--crops", "--no-draw", *EASY)
    files = sorted(file.relative_to(out / "crops") for file in (out / "crops").rglob("*.jpg"))
    wanted = [
        f"{name}/{'right' if int(file[:3]) % 3 == 0 else 'left'}/{file[:-4]}_{number}.jpg"
        for file, found in truth.items()
        for number, (name, _) in enumerate(found, start=1)
    ]
    assert files == sorted(map(Path, wanted))
    first = next(iter(truth))
    x1, y1, x2, y2 = truth[first][0][1]
    side = "right" if int(first[:3]) % 3 == 0 else "left"
    with Image.open(out / "crops" / truth[first][0][0] / side / f"{first[:-4]}_1.jpg") as cut:
        assert cut.size == (np.ceil(x2) - np.floor(x1), np.ceil(y2) - np.floor(y1))


def test_classes_and_their_thresholds(predicted: Any) -> None:
    out = predicted("ssd", "--format", "jsonl", "--no-draw", *EASY, "--classes", "star", "3")
    assert {one["category"] for row in lines_of(out) for one in row["objects"]} == {
        "star",
        "heart",
    }
    flags = ("--class-thresholds", "star=.5", "heart=.9", "--score-threshold", 0.8)
    out = predicted("ssd", "--format", "jsonl", "--no-draw", *flags)
    scores: dict[str, list[float]] = {"star": [], "ring": [], "heart": []}
    for row in lines_of(out):
        for one in row["objects"]:
            scores[one["category"]].append(one["score"])
    assert min(scores["heart"]) > 0.9
    assert min(scores["ring"], default=1) > 0.8
    assert 0.5 < min(scores["star"]) < 0.8


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        ({"classes": ("hart",)}, r"--classes hart: .* did you mean 'heart'"),
        ({"classes": ("9",)}, r"--classes 9: .* it knows star, ring, heart"),
        ({"class_thresholds": ("9=.4",)}, r"--class-thresholds 9: .* it knows"),
        ({"classes": ("star",), "class_thresholds": ("ring=.4",)}, r"leaves this class out"),
        ({"class_thresholds": ("ring",)}, r"ring: write a class and a score"),
        ({"class_thresholds": ("ring=2",)}, r"ring=2: write a class and a score"),
    ],
)
def test_classes_that_are_not_there(keep: dict[str, tuple[str, ...]], why: str) -> None:
    with pytest.raises(InputError, match=why):
        BoxAnswers(SHAPES, 0.5, KeepSpec(**keep))


def test_a_threshold_that_an_export_lacks(tool: Tool, exports: Exports, album: Path) -> None:
    flags = ("--class-thresholds", "star=.001")
    status, _, err = tool("predict", exports.file("ssd"), album, *flags)
    assert status == 2
    assert "--class-thresholds star=0.001" in err
    assert "was made with 0.02" in err


@pytest.mark.parametrize("flag", [("--crops",), ("--classes", "ant"), ("--tiles", "64")])
def test_flags_of_detectors(
    flag: tuple[str, ...], tool: Tool, exports: Exports, album: Path
) -> None:
    status, _, err = tool("predict", exports.file("classifier"), album, *flag)
    assert status == 2
    assert f"{flag[0]}" in err
    assert "the weights are for classification" in err


def test_tiles(truth: Any, predicted: Any, album: Path) -> None:
    """An image that one tile holds is answered for as without; a larger one in its own pixels."""
    flags = ("--format", "jsonl", "--no-draw", "--tiles", 64)
    rows = {Path(row["file"]).name: row for row in lines_of(predicted("ssd", *flags, *EASY))}
    for name, found in truth.items():
        assert [one["category"] for one in rows[name]["objects"]] == [what for what, _ in found]
    large = album / "large.png"
    with Image.open(album / "left" / "001.png") as image:
        image.resize((300, 200)).save(large)
    rows = {Path(row["file"]).name: row for row in lines_of(predicted("ssd", *flags, *EASY))}
    boxes = np.array([one["bbox"] for one in rows["large.png"]["objects"]])
    assert 0 < len(boxes) <= 30
    assert boxes[:, 0].max() > 128
    assert (boxes[:, :2] + boxes[:, 2:] <= (300.01, 200.01)).all()


def test_rows_of_tables() -> None:
    told = {"lat": None, "region": {"km": 3, "cells": ["a", "b"]}}
    assert one_row(told, ()) == [{"lat": "", "region.km": 3, "region.cells": '["a", "b"]'}]
    (row,) = ranked_row({"classes": ["b", "a"], "probabilities": [0.7, 0.3]}, ())
    assert row == {"class_1": "b", "probability_1": 0.7, "class_2": "a", "probability_2": 0.3}
    (row,) = named_row({"present": ["b"], "probabilities": {"b": 0.7, "a": 0.3}}, ("a", "b"))
    assert list(row.items()) == [("present", "b"), ("a", 0.3), ("b", 0.7)]


def test_names_are_given_once() -> None:
    names = Names()
    places = [names.unique(stem, ".jpg") for stem in ("a", "a", "b/a", "a_2", "a")]
    assert places == ["a.jpg", "a_2.jpg", "b/a.jpg", "a_2_2.jpg", "a_3.jpg"]


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "-1/3"])
def test_parts_that_are_none(part: str) -> None:
    with pytest.raises(InputError, match=rf"--part {part}: write K/N"):
        Predict(Path("x"), ("y",), part=part)
