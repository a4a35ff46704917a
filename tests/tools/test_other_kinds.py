"""Data of another kind than what a tool takes: the message names the tool that takes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Tool
from tests.datasets.attribute_fakes import picture, write_celeba, write_lfwa
from tests.datasets.box_sets import coco, write, yolo
from tests.datasets.label_fakes import write_folders
from tests.datasets.parquet_fakes import box_parquet
from tests.datasets.place_fakes import write_list
from tests.exports import Exports
from tests.tools.mistakes import expect


def boxes(root: Path) -> Path:
    return yolo(root)


def parts_of_boxes(root: Path) -> Path:
    """Whose folders of pictures look like two classes."""
    content = coco(root)
    (root / "images").rename(root / "train2017")
    (root / "val2017").mkdir()
    (root / "val2017/0.png").write_bytes((root / "train2017/0.png").read_bytes())
    return write(root, content)


def classes(root: Path) -> Path:
    return write_folders(root, {"ant": 3, "bee": 3})


def faces(root: Path) -> Path:
    return write_celeba(root)


def lfwa(root: Path) -> Path:
    write_lfwa(root)
    return root


def utkface(root: Path) -> Path:
    for k in range(6):
        picture(root / f"{20 + k}_{k % 2}_{k % 3}_20170116174{k:06d}.jpg", 30 * k)
    return root


def places(root: Path) -> Path:
    write_list(root, [f"{k}.jpg,a{k},{k},{k}" for k in range(4)])
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fill", "said", "tools"),
    [
        (boxes, "holds boxes, which tools/train_det.py", "cls dogs attr embed geo gan"),
        (parts_of_boxes, "holds boxes, which tools/train_det.py", "cls dogs"),
        (classes, "holds labels, which tools/train_cls.py", "det attr geo"),
        (faces, "holds attributes, which tools/train_attr.py", "cls dogs det embed geo gan"),
        (lfwa, "holds attributes, which tools/train_attr.py", "cls embed"),
        (utkface, "holds attributes, which tools/train_attr.py", "cls det embed"),
        (places, "holds positions, which tools/train_geo.py", "cls det attr embed gan"),
        (box_parquet, "holds boxes, which tools/train_det.py", "attr embed"),
    ],
)
def test_the_tool_for_a_set_is_named(
    tmp_path: Path, tool: Tool, fill: Callable[[Path], Path], said: str, tools: str
) -> None:
    root = fill(tmp_path / "set")
    for name in tools.split():
        answer = tool(f"train_{name}", "--data", root, "--out", tmp_path / "out")
        expect(answer, f"{root}: {said} trains on")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_heads_and_evaluations_name_it_too(tmp_path: Path, tool: Tool, exports: Exports) -> None:
    root = boxes(tmp_path / "set")
    said = f"{root}: holds boxes, which tools/train_det.py trains on and tools/evaluate.py"
    expect(tool("train_multi", "--tasks", f"classes={root}", "--out", tmp_path / "out"), said)
    weights = exports.source("classifier").file
    expect(tool("evaluate", weights, "--data", root, "--out", tmp_path / "out"), said)


@pytest.mark.slow
def test_what_is_nothing_is_told_as_before(tmp_path: Path, tool: Tool) -> None:
    (tmp_path / "set").mkdir()
    for name in ("cls", "det", "attr", "embed"):
        expect(tool(f"train_{name}", "--data", tmp_path / "set"), "not recognised as")
