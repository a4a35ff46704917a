"""The data doctor as a tool."""

import json
from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection
from tasks.detection.model import detector_anchors
from tasks.detection.spec import DetectorSpec
from tests.conftest import Tool
from tests.datasets.fakes import GOOD_BOXES, write_coco


@pytest.mark.slow
def test_says_what_it_saw(scenes: Path, tool: Tool) -> None:
    status, text, _ = tool("check_data", scenes)
    assert status == 0
    assert "24 images" in text
    assert "boxes per class" in text
    assert "nothing wrong was found" in text


@pytest.mark.slow
def test_says_which_part_it_saw(tmp_path: Path, tool: Tool) -> None:
    """Whatever says how the set is read, and with the other parts where no flag chose one."""
    data = write_coco(tmp_path / "set", GOOD_BOXES)
    said = f"examined: the part 'train' of {data}"
    compared = "; --split val takes the other, compared with 'val'"
    assert f"{said}{compared}\n" in tool("check_data", data)[1]
    assert f"{said}{compared}\n" in tool("check_data", data, "--format", "coco")[1]
    for part, other in (("val", "train"), ("train", "val")):
        text = tool("check_data", data, "--split", part)[1]
        assert f"examined: the part {part!r} of {data}, compared with {other!r}\n" in text
    pictures = (data / "train2017").rename(tmp_path / "pictures")
    _, text, _ = tool("check_data", data, "--images", pictures)
    assert f"{said}; --split val takes the other, with the images of {pictures}" in text
    (data / "annotations/instances_val2017.json").unlink()
    _, text, _ = tool("check_data", data, "--images", pictures, "--json")
    told = json.loads(text)
    assert (told["part"], told["compared_with"], told["images"]) == ("all", None, 2)


def test_json_names_each_finding(tmp_path: Path, tool: Tool) -> None:
    data = write_coco(tmp_path / "set", [*GOOD_BOXES, (10, 3, [60, 4, 20, 5])])
    status, text, _ = tool("check_data", data, "--json", "--out", tmp_path / "report.json")
    assert status == 0
    report = json.loads(text)
    assert not report["refused"]
    assert any("103" in json.dumps(finding) for finding in report["findings"])
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_refusal_is_an_exit_status(tmp_path: Path, tool: Tool) -> None:
    unit = [(10, 3, [0.1, 0.1, 0.5, 0.5]), (11, 7, [0.2, 0.2, 0.4, 0.3])]
    status, text, _ = tool("check_data", write_coco(tmp_path / "set", unit))
    assert status == 2
    assert "refused" in text


@pytest.mark.slow
def test_decoding_finds_a_damaged_picture(tmp_path: Path, tool: Tool) -> None:
    boxes = [(10 + k, 3, [1, 1, 9, 9]) for k in range(12)]
    data = write_coco(tmp_path / "set", boxes, images=12)
    picture = data / "train2017" / "3.png"
    content = picture.read_bytes()
    picture.write_bytes(content[:-40] + bytes(24) + content[-16:])  # The end looks whole.
    assert "unusable image" not in tool("check_data", data)[1]
    status, text, _ = tool("check_data", data, "--decode")
    assert status == 0
    assert f"unusable image: {picture}" in text


@pytest.mark.slow
def test_every_real_set(real_data: Path, tool: Tool) -> None:
    for name in ("coco", "pets"):
        status, text, err = tool("check_data", real_data / name, "--json")
        assert status == 0, err
        assert not json.loads(text)["refused"]


@pytest.mark.slow
def test_compares_boxes_with_the_framework_s_anchors(scenes: Path, tool: Tool) -> None:
    covers = []
    for flags in ((), ("--framework", "faster_rcnn_600"), ("--keep-aspect",)):
        status, text, err = tool("check_data", scenes, *flags, "--json")
        assert status == 0, err
        covers.append(json.loads(text)["anchor_cover"])
    boxes = open_detection(scenes, "train")
    anchors = detector_anchors(DetectorSpec(framework="faster_rcnn_600")).numpy()
    assert covers[1] == examine(boxes, anchors).summary["anchor_cover"]
    assert len({json.dumps(cover) for cover in covers}) == 3
    status, text, _ = tool("check_data", scenes, "--framework", "faster_rcnn_600", "--size", 16)
    assert status == 2


@pytest.mark.parametrize("lines", [1, 3])
def test_lines_limits_what_is_named(tmp_path: Path, tool: Tool, lines: int) -> None:
    bad = [(10, 3, [4, 6, 0, 30]) for _ in range(9)]
    data = write_coco(tmp_path / "set", [*GOOD_BOXES, *bad])
    _, text, _ = tool("check_data", data, "--lines", lines)
    assert len([line for line in text.splitlines() if ", annotation " in line]) <= lines
    assert np.any(["more" in line for line in text.splitlines()])
