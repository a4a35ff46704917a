"""Which pictures a detector is trained and scored on, and what is said of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.images import save_image
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import SMALL


def coco(root: Path, count: int, seed: int) -> Path:
    """Pictures with a box each in one part, whose ids are texts."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    for k in range(count):
        pixels = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        save_image(root / f"images/{k}.png", pixels)
    content = {
        "images": [
            {"id": f"shot-{k}", "file_name": f"{k}.png", "width": 80, "height": 60}
            for k in range(count)
        ],
        "annotations": [
            {"id": k, "image_id": f"shot-{k}", "category_id": 4, "bbox": [20, 9, 40, 40]}
            for k in range(count)
        ],
        "categories": [{"id": 4, "name": "star"}],
    }
    (root / "boxes.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """Two sets without parts."""
    return coco(tmp_path / "mine", 10, 0), coco(tmp_path / "apart", 5, 1)


@pytest.mark.slow
def test_data_to_evaluate_on_lie_apart(
    sets: tuple[Path, Path], tool: Tool, tmp_path: Path
) -> None:
    mine, apart = sets
    args = (*SMALL[:-2], "--epochs", 1, "--batch-size", 4, "--workers", 0)
    run, plain = tmp_path / "run", tmp_path / "plain"
    status, _, err = tool("train_det", "--data", mine, "--val", apart, "--out", run, *args)
    assert status == 0, err
    assert "train data: 10 images" in err
    truth = json.loads((run / "ground_truth.json").read_text())
    assert {row["id"] for row in truth["images"]} == {f"shot-{k}" for k in range(5)}
    assert {row["image_id"] for row in truth["annotations"]} == {f"shot-{k}" for k in range(5)}
    results = json.loads((run / "results.json").read_text())
    assert {row["image_id"] for row in results} <= {f"shot-{k}" for k in range(5)}
    status, _, err = tool("train_det", "--data", mine, "--out", plain, *args)
    assert status == 0, err
    _evaluate(tool, plain, apart, tmp_path / "a", 5, f"scored: all of {apart}")
    held_out = 10 - int(err.split("train data: ")[1].split()[0])
    assert 0 < held_out < 9
    said = f"the fifth of {mine} that was held out"
    _evaluate(tool, plain, mine, tmp_path / "b", held_out, said)
    _evaluate(tool, run, mine, tmp_path / "c", 10, f"scored: all of {mine}")


def _evaluate(tool: Tool, run: Path, data: Path, out: Path, count: int, said: str) -> None:
    answer = tool("evaluate", run, "--data", data, "--out", out, "--workers", 0)
    expect(answer, said, status=0)
    truth = json.loads((out / "ground_truth.json").read_text())
    assert len(truth["images"]) == count


@pytest.mark.slow
def test_the_same_files_in_both_parts_are_told(
    sets: tuple[Path, Path], tool: Tool, tmp_path: Path
) -> None:
    mine, _ = sets
    args = (*SMALL[:-2], "--epochs", 1, "--batch-size", 4, "--workers", 0)
    answer = tool("train_det", "--data", mine, "--val", mine, "--out", tmp_path / "run", *args)
    expect(answer, "the same files in both splits", "10 of 10", status=0)


def test_val_goes_with_data(sets: tuple[Path, Path], tool: Tool) -> None:
    expect(tool("train_det", "--val", sets[1]), f"--val {sets[1]}: goes with --data")


@pytest.mark.slow
def test_damaged_annotations_end_before_training(
    sets: tuple[Path, Path], tool: Tool, tmp_path: Path
) -> None:
    file = sets[0] / "boxes.json"
    file.write_bytes(file.read_bytes()[:600])
    for args in (
        ("check_data", sets[0]),
        ("train_det", "--data", sets[0], "--out", tmp_path / "run"),
        ("train_cls", "--data", shutil.copytree(sets[0], tmp_path / "copy")),
    ):
        answer = tool(*args)
        shown = "not recognised" if args[0] == "train_cls" else "boxes.json: line 1, column"
        expect(answer, shown)
