"""``--keep-aspect`` through every tool: what is trained so is measured and used so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.builtin.scenes import draw_scenes
from datasets.images import read_image, save_image
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tools.runs import SMALL

pytestmark = pytest.mark.slow


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Scenes whose right half is cut off or doubled: tall and wide ones."""
    root = draw_scenes(tmp_path / "wide", num_train=12, num_val=4)
    for split in ("train", "val"):
        file = root / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text())
        for number, row in enumerate(content["images"]):
            picture = read_image(root / split / row["file_name"], upright=True)
            after = np.concatenate((picture, picture[:, ::-1]), axis=number % 2)
            save_image(root / split / row["file_name"], after)
            row["height"], row["width"] = after.shape[:2]
        file.write_text(json.dumps(content))
    return root


def test_train_evaluate_predict(wide: Path, tool: Tool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = ("--data", wide, "--workers", 0, "--json")
    recipe = (*SMALL, "--epochs", 1, "--keep-aspect")
    status, text, err = tool("train_det", *args, "--out", run, *recipe)
    assert status == 0, err
    trained = json.loads(text)
    assert "keep_aspect True" in trained["facts"]["model"]
    card = load_weights(run)[1]
    assert card.model["keep_aspect"] is True
    status, text, err = tool("evaluate", run, *args, "--out", tmp_path / "scores")
    assert status == 0, err
    assert json.loads(text)["metrics"] == pytest.approx(trained["metrics"], abs=2e-3)
    assert "keep_aspect True" in json.loads(text)["facts"]["model"]
    found = ("--out", tmp_path / "found", "--score-threshold", 0.01, "--no-draw")
    status, _, err = tool("predict", run, wide / "val", *found)
    assert status == 0, err
    same_places(tmp_path, wide)
    # Weights to start from bring it along.
    again = ("--weights", run, "--epochs", 1, "--batch-size", 6, "--out", tmp_path / "again")
    status, text, err = tool("train_det", *args, *again)
    assert status == 0, err
    assert load_weights(tmp_path / "again")[1].model["keep_aspect"] is True


def same_places(folder: Path, data: Path) -> None:
    """Prediction and evaluation prepare and scale photos alike."""
    predicted = json.loads((folder / "found" / "predictions.json").read_text())
    results = json.loads((folder / "scores" / "results.json").read_text())
    truth = json.loads((data / "annotations" / "instances_val.json").read_text())
    names = {row["id"]: row["file_name"] for row in truth["images"]}
    here = {row["id"]: Path(row["file_name"]).name for row in predicted["images"]}
    sizes = {row["file_name"]: (row["width"], row["height"]) for row in truth["images"]}
    assert predicted["annotations"]
    assert set(here.values()) == {Path(name).name for name in names.values()}
    for row in best_of_each(predicted["annotations"]):
        name = here[row["image_id"]]
        x, y, w, h = row["bbox"]
        width, height = sizes[name]
        assert x >= 0
        assert y >= 0
        assert x + w <= width + 0.01
        assert y + h <= height + 0.01
        others = [
            other["bbox"]
            for other in results
            if Path(names[other["image_id"]]).name == name
            and other["category_id"] == row["category_id"]
        ]
        assert any(np.allclose(row["bbox"], other, atol=1) for other in others), name


def best_of_each(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The highest score of each picture."""
    best: dict[int, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["score"]):
        best[row["image_id"]] = row
    return list(best.values())
