"""--format and --images at the doors of detection."""

import json
import shutil
from pathlib import Path

import pytest

from configs.detection import TrainDet
from configs.tools import Evaluate
from datasets.errors import InputError
from tests.conftest import Tool
from tests.datasets.box_sets import coco, write, yolo
from tests.datasets.label_fakes import write_folders
from tests.tools.mistakes import expect
from tools.detection.recipe import open_run


def two_formats(root: Path) -> Path:
    """YOLO and COCO over the same pictures, which lie in another folder."""
    yolo(root)
    (root / "annotations").mkdir()
    write(root, coco(root / "other"))
    shutil.rmtree(root / "other")
    shutil.move(root / "images", root.parent / "pictures")
    return root


@pytest.mark.slow
def test_the_doctor_takes_both(tmp_path: Path, tool: Tool) -> None:
    root, images = two_formats(tmp_path / "set"), tmp_path / "pictures"
    expect(tool("check_data", root, "--images", images), "--format coco or --format yolo")
    for name in ("coco", "yolo"):
        status, text, _ = tool("check_data", root, "--format", name, "--images", images, "--json")
        assert status == 0
        report = json.loads(text)
        assert (report["format"], report["images"], report["boxes"]) == (name, 6, 6)
    expect(tool("check_data", root, "--images", tmp_path / "gone"), "gone: no such folder")
    flags = ("--task", "classification", "--format", "yolo")
    classes = write_folders(tmp_path / "classes", {"a": 3, "b": 3})
    expect(tool("check_data", classes, *flags), "--format yolo: ", "is examined for")


@pytest.mark.slow
def test_training_takes_both(tmp_path: Path, tool: Tool) -> None:
    root, images = two_formats(tmp_path / "set"), tmp_path / "pictures"
    for name in ("coco", "yolo"):
        run = open_run(TrainDet(data=root, format=name, images=images), root)
        assert run.train.format == name
        assert len(run.train) + len(run.val) == 6
        assert run.train.image(0).shape == (48, 64, 3)
    expect(tool("train_det", "--data", root, "--images", images), "--format coco or")
    flags = ("--data", root, "--format", "voc", "--images", images)
    expect(tool("train_det", *flags), "not read as voc (--format)")


@pytest.mark.parametrize("flags", [{"format": "coco"}, {"images": Path("there")}])
def test_they_go_with_data(flags: dict[str, object]) -> None:
    for make in (lambda: TrainDet(**flags), lambda: Evaluate(Path("run"), **flags)):
        with pytest.raises(InputError, match=r"--(format coco|images there): goes with --data"):
            make()
