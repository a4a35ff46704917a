"""What a training run prints and leaves behind."""

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from datasets.builtin.scenes import draw_scenes
from tasks.detection.evaluator import MEANINGS
from tests.conftest import Tool
from tests.tools.conftest import Finished
from tests.tools.runs import SMALL
from tools.detection.recipe import DETECTION_RECIPE, SCENES


@pytest.mark.slow
def test_prints_one_json_object_with_the_twelve_numbers(finished: Finished) -> None:
    assert set(finished.result["metrics"]) == set(MEANINGS)
    assert len(MEANINGS) == 12
    assert finished.result["folder"] == str(finished.folder)
    assert "train data: 24 images" in finished.errors
    assert "Traceback" not in finished.errors


@pytest.mark.slow
def test_leaves_everything_in_the_run_folder(finished: Finished) -> None:
    for name in ("config.json", "last.ckpt", "report.json", "results.json", "tensorboard"):
        assert (finished.folder / name).exists(), name
    rows = list(csv.reader((finished.folder / "metrics.csv").open()))
    names = {name for _, name, _ in rows[1:]}
    assert {"loss", "loss_class", "loss_box", "AP", "AP50"} <= names
    config = json.loads((finished.folder / "config.json").read_text())
    assert config["model"]["alpha"] == 0.25
    report = json.loads((finished.folder / "report.json").read_text())
    assert report == finished.result, "what is printed is what is kept, the minutes too"
    assert report["minutes"] > 0
    assert config["command"].startswith("tools/train_det.py --framework ssd300")
    assert not list(finished.folder.glob(".*")), "temporary files were left"


@pytest.mark.slow
def test_the_report_shows_losses_curves_confusion_and_pictures(finished: Finished) -> None:
    page = (finished.folder / "report.html").read_text()
    for part in ("Losses", "Precision", "Confusion", "Best", "Worst"):
        assert part.lower() in page.lower(), part
    assert page.count("data:image/") >= 4
    assert "http" not in page.replace("http://www.w3.org", ""), "the page needs nothing else"


@pytest.mark.slow
def test_the_card_says_what_the_weights_are(finished: Finished) -> None:
    with safe_open(finished.folder / "model.safetensors", framework="pt") as file:
        card = json.loads(file.metadata()["card"])
    assert card["task"] == "detection"
    assert card["flavour"]["input"]["size"] == 64
    assert len(card["classes"]) == 8
    assert card["metrics"].keys() == set(MEANINGS)


@pytest.mark.slow
def test_works_on_any_format_and_starts_from_weights(
    finished: Finished, tool: Tool, tmp_path: Path
) -> None:
    """The YOLO copy of two classes: known ones keep their weights."""
    data = tmp_path / "yolo"
    _yolo(data)
    args = ("--weights", finished.folder, "--size", 64, "--batch-size", 4, "--epochs", 1)
    status, out, err = tool("train_det", "--data", data, "--out", tmp_path / "run", *args)
    assert status == 0, err
    assert "1 classes known, 1 start anew" in err
    assert "format yolo" in err
    assert "AP50" in out
    assert "star" in out


@pytest.mark.slow
def test_imported_weights_train_in_batch_statistics_too(
    ssd_tflite: Path, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    """Their batch norm came folded: its statistics are measured first."""
    weights = tmp_path / "ssd.safetensors"
    assert tool("import_weights", ssd_tflite, "--out", weights)[0] == 0
    args = ("--weights", weights, "--size", 96, "--epochs", 2, "--eval-every", 9, "--workers", 0)
    status, _, err = tool(
        "train_det", "--data", scenes, "--out", tmp_path / "run", *args, "--no-freeze-bn"
    )
    assert status == 0, err
    assert "measuring batch-norm statistics" in err


def _yolo(root: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        (root / "images" / split).mkdir(parents=True)
        (root / "labels" / split).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{number}.png")
            line = f"{number % 2} 0.5 0.5 0.4 0.6\n"
            (root / "labels" / split / f"{number}.txt").write_text(line)
    (root / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [star, gingerbread]\n"
    )


@pytest.mark.slow
def test_without_data_it_draws_scenes_and_says_so(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = partial(draw_scenes, num_train=8, num_val=4)
    recipe = replace(DETECTION_RECIPE, built_in=replace(SCENES, draw=few))
    monkeypatch.setattr("tools.detection.recipe.DETECTION_RECIPE", recipe)
    status, _, err = tool("train_det", "--framework", "ssd300", *SMALL[2:], "--epochs", 1)
    assert status == 0, err
    assert "no --data given: using built-in scenes" in err
    assert len(list((tmp_path / "runs" / "demo").glob("*/report.html"))) == 1


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_the_images(
    tool: Tool, scenes: Path, tmp_path: Path
) -> None:
    """And the checkpoint of before stays, if there was one."""
    args = (*SMALL, "--epochs", 2, "--lr", 1e30, "--warmup", 0, "--workers", 0)
    status, _, err = tool("train_det", "--data", scenes, "--out", tmp_path / "run", *args)
    assert status == 1
    assert "the loss is not a number any more" in err
    assert "0000" in err.split("this batch damaged:")[1]
    if (tmp_path / "run" / "last.ckpt").exists():
        state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["focal", "paper"])
def test_the_published_recipes_run(tool: Tool, tmp_path: Path, preset: str, scenes: Path) -> None:
    args = ("--preset", preset, "--alpha", 0.25, "--size", 64, "--batch-size", 8, "--lr", 1e-3)
    status, out, err = tool(
        "train_det", "--data", scenes, "--out", tmp_path / "run", *args, "--epochs", 1
    )
    assert status == 0, err
    assert "AP50" in out


@pytest.mark.slow
def test_ssdlite_compiles(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for the real compiler, but run without it: that takes a minute to start."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    data = draw_scenes(tmp_path / "scenes", num_train=4, num_val=4)
    args = (*SMALL[:-2], "--batch-size", 4, "--head", "ssdlite", "--epochs", 1, "--compile")
    status, _, err = tool("train_det", "--data", data, "--out", tmp_path / "run", *args)
    assert status == 0, err
