"""The data doctor as a tool, on labelled photos."""

import json
import shutil
from pathlib import Path

import pytest

from datasets.labels.opening import open_labelled
from datasets.shards.writing import write_shards
from tests.conftest import Tool
from tests.datasets.fakes import GOOD_BOXES, voc_xml, write_coco
from tests.datasets.label_fakes import write_dogs, write_folders, write_pets, write_tiny
from tests.tools.mistakes import expect

COUNTS = {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "set", COUNTS)


@pytest.mark.slow
def test_labelled_sets_are_recognised(tmp_path: Path, tool: Tool, photos: Path) -> None:
    expect(tool("check_data", photos), "12 images of 2 classes", "nothing wrong", status=0)
    expect(tool("check_data", photos, "--split", "val"), "4 images of 2 classes", status=0)
    expect(tool("check_data", write_tiny(tmp_path / "t")), "format tiny_imagenet", status=0)
    expect(tool("check_data", write_dogs(tmp_path / "d")), "format stanford_dogs", status=0)


def test_a_set_that_is_not_parted_is_examined_whole(tmp_path: Path, tool: Tool) -> None:
    data = write_folders(tmp_path / "whole", {"a": 5, "b": 7})
    expect(tool("check_data", data), "12 images of 2 classes", status=0)


def test_json_names_each_finding(tmp_path: Path, tool: Tool, photos: Path) -> None:
    """Damage, and copies within and across the parts."""
    (photos / "train/a/5.png").write_text("no image")
    shutil.copy(photos / "train/a/0.png", photos / "train/b/0.png")
    shutil.copy(photos / "train/a/1.png", photos / "val/a/1.png")
    out = tmp_path / "report.json"
    status, text, err = tool("check_data", photos, "--json", "--out", out)
    assert status == 0, err
    report = json.loads(text)
    assert report == json.loads(out.read_text())
    assert report["task"] == "classification"
    assert report["classes"] == {"a": 5, "b": 6}
    assert not report["refused"]
    kinds = sorted(finding["kind"] for finding in report["findings"])
    assert kinds == ["copy in both splits", "copy in two classes", "unusable image"]


def test_refusal_is_an_exit_status(tool: Tool, photos: Path) -> None:
    for file in (photos / "train/a").iterdir():
        file.write_text("no image")
    expect(tool("check_data", photos), "refused: images missing or unreadable", "6 of 12")


@pytest.mark.slow
def test_decoding_finds_a_damaged_photo(tool: Tool, photos: Path) -> None:
    file = photos / "train/a/3.png"
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes(60) + content[260:])
    assert "3.png" not in tool("check_data", photos)[1]
    expect(tool("check_data", photos, "--decode"), "unusable image", "a/3.png", status=0)


@pytest.mark.slow
def test_photos_in_shards_are_decoded(tmp_path: Path, tool: Tool, photos: Path) -> None:
    (photos / "train/a/3.png").write_text("no image")
    folder = write_shards(open_labelled(photos, "train"), tmp_path / "shards", per_shard=5)
    parts = ("11 images of 2 classes, format shards", "not an image that can be read")
    expect(tool("check_data", folder), *parts, status=0)
    expect(tool("check_data", folder / "{000000..000002}.tar"), *parts, status=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["drawn", "real"])
def test_what_is_both_is_examined_for_detection(
    request: pytest.FixtureRequest, tmp_path: Path, tool: Tool, kind: str
) -> None:
    if kind == "real":
        pets = request.getfixturevalue("real_data") / "pets"
    else:
        pets = write_pets(tmp_path / "pets")
        (pets / "annotations/xmls").mkdir()
        for stem in ("pug_7", "Bengal_1", "pug_8"):
            text = voc_xml([("cat", (1, 1, 9, 9), False)], width=24, height=20)
            (pets / f"annotations/xmls/{stem}.xml").write_text(text)
    expect(tool("check_data", pets), "taken for detection", "--task classification", status=0)
    for task, said in (("detection", "boxes per class"), ("classification", "images per class")):
        status, text, err = tool("check_data", pets, "--task", task)
        assert status == 0, err
        assert said in text
        assert "taken for" not in err


@pytest.mark.slow
def test_what_is_neither(tmp_path: Path, tool: Tool, photos: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = tool("check_data", tmp_path / "empty")
    expect(answer, "not recognised", "(COCO)", "(YOLO)", "(Tiny ImageNet)", "path and label")
    expect(tool("check_data", tmp_path / "no"), "no: no such file or folder")
    expect(tool("check_data", tmp_path / "no-{00..12}.tar"), "no-00.tar: the shard is missing")
    answer = tool("check_data", photos, "--task", "detection")
    expect(answer, "not recognised. A detection data set holds")
    assert "Tiny ImageNet" not in "".join(answer[1:])


@pytest.mark.parametrize(
    "flag", [("--framework", "faster_rcnn_300"), ("--size", 320), ("--keep-aspect",)]
)
def test_flags_of_detection_are_refused(
    tool: Tool, photos: Path, flag: tuple[object, ...]
) -> None:
    shown = " ".join(map(str, flag))
    expect(tool("check_data", photos, *flag), f"{shown}: {photos} is examined for classification")


def test_a_class_list_is_refused_for_boxes(tmp_path: Path, tool: Tool) -> None:
    data, wanted = write_coco(tmp_path / "set", GOOD_BOXES), tmp_path / "wanted.txt"
    wanted.write_text("cat\n")
    answer = tool("check_data", data, "--classes", wanted)
    expect(answer, f"--classes {wanted}: {data} is examined for detection")
