"""Training a classifier, many of them, and what the other tools do with one."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from configs.classification import TrainCls
from datasets.builtin.shapes_and_breeds import draw_shapes
from tasks.classification.model import Classifier
from tasks.classification.task import resolution_at
from tasks.runtime.open import read_card
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tools.runs import train_by_torchrun
from tests.tools.stopping import stop_at
from tools.classification.recipe import CLASSIFICATION_RECIPE
from tools.flows.grid import expand

SMALL = ("--preset", "demo", "--size", 32, "--batch-size", 16, "--epochs", 2, "--workers", 0)


@pytest.fixture
def run(tool: Tool, shapes: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    status, out, err = tool("train_cls", "--data", shapes, "--out", folder, *SMALL)
    assert status == 0, err
    assert "top1" in out
    assert "Traceback" not in err
    return folder


@pytest.mark.slow
def test_a_run_leaves_weights_report_and_checkpoint(run: Path) -> None:
    for name in ("config.json", "last.ckpt", "report.html", "predictions.csv", "metrics.csv"):
        assert (run / name).exists(), name
    card = read_card(run)
    assert card.task == "classification"
    assert card.flavour.input.size == 32
    assert len(card.classes) == 8
    report = json.loads((run / "report.json").read_text())
    assert report["metrics"]["top1"] == pytest.approx(card.metrics["top1"])
    assert report["cost"]["params"] < 300_000
    assert report["minutes"] > 0
    assert not list(run.glob(".*")), "temporary files were left"


@pytest.mark.slow
def test_the_other_tools_take_it(run: Path, shapes: Path, tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    status, text, err = tool("evaluate", run, "--data", shapes, "--out", out, "--json")
    assert status == 0, err
    ours = json.loads((run / "report.json").read_text())["metrics"]
    assert json.loads(text)["metrics"]["top1"] == ours["top1"]
    photo = next((shapes / "val").rglob("*.png"), None) or next((shapes / "val").rglob("*.jpg"))
    status, text, err = tool("predict", run, photo, "--out", tmp_path / "seen")
    assert status == 0, err
    assert (tmp_path / "seen" / photo.name).exists()
    rows = json.loads((tmp_path / "seen" / "predictions.json").read_text())["photos"]
    assert len(rows[0]["classes"]) == 5
    status, _, err = tool("evaluate", run, "--data", shapes, "--proposals", 5)
    assert status == 2
    assert "--proposals 5: the weights are for classification" in err


@pytest.mark.slow
def test_it_lends_its_body_to_a_detector(
    run: Path, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    small = ("--size", 64, "--batch-size", 6, "--epochs", 1, "--workers", 0)
    status, _, err = tool(
        "train_det", "--data", scenes, "--weights", run, "--out", tmp_path / "det", *small
    )
    assert status == 0, err
    assert "0 classes known, 8 start anew" in err
    assert read_card(tmp_path / "det").model["alpha"] == 0.25


@pytest.mark.slow
def test_fine_tuning_keeps_known_classes(
    run: Path, shapes: Path, tool: Tool, tmp_path: Path
) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("star\ncross\n")
    args = ("--classes", wanted, "--weights", run, "--epochs", 1, "--workers", 0)
    status, _, err = tool(
        "train_cls", "--data", shapes, "--out", tmp_path / "two", *args, "--batch-size", 6
    )
    assert status == 0, err
    assert "2 classes known, 0 start anew" in err
    assert read_card(tmp_path / "two").classes.names == ("star", "cross")


@pytest.mark.slow
def test_a_resumed_run_is_the_same(shapes: Path, tool: Tool, tmp_path: Path) -> None:
    """Stopped after its first epoch by a longer plan that fails, it goes on bit for bit."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert tool("train_cls", "--data", shapes, "--out", straight, *SMALL)[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_at(4, patch)
        assert tool("train_cls", "--data", shapes, "--out", stopped, *SMALL)[0] == 1
    status, _, err = tool("train_cls", "--resume", stopped)
    assert status == 0, err
    one, two = load_weights(straight)[0], load_weights(stopped)[0]
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.slow
def test_a_grid_trains_each_once_and_goes_on(
    shapes: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "grid"
    grid = ("--grid", "width=.25,.1", "+", "resolution=48", "seed=0,1", "--epochs", 1)
    args = ("--data", shapes, "--out", folder, *SMALL, *grid)
    status, text, err = tool("train_cls", *args)
    assert status == 0, err
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    assert names == {
        "mobilenet_v1-a0.25-32-seed0",
        "mobilenet_v1-a0.1-32-seed0",
        "mobilenet_v1-a0.25-48-seed0",
        "mobilenet_v1-a0.25-48-seed1",
    }
    rows = json.loads((folder / "grid.json").read_text())
    assert [row["seeds"] for row in rows] == [1, 1, 2]
    assert rows[2]["spread"] is not None
    assert (folder / "grid.html").exists()
    monkeypatch.setattr("tools.flows.grid.train", partial(pytest.fail, "trained again"))
    status, again, err = tool("train_cls", "--resume", folder)
    assert status == 0, err
    assert again == text


@pytest.mark.slow
def test_other_bodies_stand_once_in_a_grid_of_widths() -> None:
    grid = ("backbone=mobilenet_v1,vgg16", "alpha=.5,1", "size=64")
    runs = dict(expand(CLASSIFICATION_RECIPE, replace(TrainCls(), grid=grid)))
    assert list(runs) == [
        "mobilenet_v1-a0.5-64-seed0",
        "mobilenet_v1-a1-64-seed0",
        "vgg16-64-seed0",
    ]
    assert runs["vgg16-64-seed0"].model.alpha == 1


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (("seed=0", "+", "backbone=inception_v3", "size=64"), "inception_v3-64-seed0: --size 64"),
        (("backbone=vgg16", "alpha=.5"), "--grid alpha=...: only mobilenet_v1 takes it"),
        (("+",), r"--grid \+: names no run"),
    ],
)
def test_an_impossible_grid_is_refused_before_it_begins(
    grid: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        expand(CLASSIFICATION_RECIPE, replace(TrainCls(), grid=grid))


@pytest.mark.slow
def test_a_grid_varies_rate_and_length(shapes: Path, tool: Tool, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    grid = ("--grid", "lr=.01,.001", "epochs=1")
    status, _, err = tool("train_cls", "--data", shapes, "--out", folder, *SMALL, *grid)
    assert status == 0, err
    for rate in (0.01, 0.001):
        name = f"mobilenet_v1-a0.25-32-lr{rate:g}-epochs1-seed0"
        fit = json.loads((folder / name / "config.json").read_text())["fit"]
        assert (fit["lr"], fit["epochs"]) == (rate, 1)
    rows = json.loads((folder / "grid.json").read_text())
    assert [row["seeds"] for row in rows] == [1, 1], "other rates are other networks"


@pytest.mark.slow
def test_a_grid_on_two_processes(tmp_path: Path) -> None:
    """Under torchrun: one run after another, each on both; what is finished is passed over."""
    shapes = draw_shapes(tmp_path / "shapes", num_train=2, num_val=1, size=32)
    folder = tmp_path / "grid"
    args = (*SMALL, "--alpha", 0.1, "--epochs", 1, "--batch-size", 4, "--grid", "seed=0,1")
    done = train_by_torchrun("--data", shapes, "--out", folder, *args, "--json", tool="train_cls")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["seeds"] == 2
    runs = [folder / f"mobilenet_v1-a0.1-32-seed{seed}" for seed in (0, 1)]
    top1 = [json.loads((run / "report.json").read_text())["metrics"]["top1"] for run in runs]
    assert row["top1"] == pytest.approx(sum(top1) / 2)
    for run in runs:  # 16 photos, 4 on each of two processes in a step.
        assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2
    one, two = (load_weights(run)[0] for run in runs)
    assert any(not torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.slow
def test_resolution_grows_in_training_alone(
    shapes: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    evaluated: list[int] = []
    inner = Classifier.raw

    def watch(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        (trained if self.training else evaluated).append(images.shape[-1])
        logits: torch.Tensor = inner(self, images)
        return logits

    monkeypatch.setattr(Classifier, "raw", watch)
    args = (*SMALL, "--size", 64, "--progressive", 0.5, "--epochs", 4)
    status, _, err = tool("train_cls", "--data", shapes, "--out", tmp_path / "run", *args)
    assert status == 0, err
    assert trained == sorted(trained)
    assert (trained[0], trained[-1]) == (32, 64)
    assert set(trained) == {32, 40, 48, 56, 64}
    assert set(evaluated) == {64}


def test_resolution_by_hand() -> None:
    at = partial(resolution_at, start=0.5, full=224, least=32)
    assert [at(share) for share in (0, 0.375, 0.75, 1)] == [112, 168, 224, 224]
    assert resolution_at(0, start=0.1, full=64, least=32) == 32
    assert resolution_at(0, start=1, full=52, least=32) == 52


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["depth=1"], "--grid depth=1: write KEY=VALUE,VALUE with one of backbone, alpha, width"),
        (["alpha=big"], "--grid alpha=big: could not convert"),
        (["size=8"], "--size 8 is too small"),
    ],
)
def test_impossible_grids(
    shapes: Path, tool: Tool, tmp_path: Path, grid: list[str], message: str
) -> None:
    status, _, err = tool(
        "train_cls", "--data", shapes, "--out", tmp_path / "x", *SMALL, "--grid", *grid
    )
    assert status == 2
    assert message in err


@pytest.mark.slow
def test_imported_weights_are_given_statistics_first(
    classifier_tflite: Path, shapes: Path, tool: Tool, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    status, _, err = tool("import_weights", classifier_tflite, "--out", weights)
    assert status == 0, err
    args = ("--weights", weights, "--size", 64, "--epochs", 1, "--workers", 0, "--batch-size", 16)
    status, _, err = tool("train_cls", "--data", shapes, "--out", tmp_path / "run", *args)
    assert status == 0, err
    assert "0 classes known, 8 start anew" in err
    assert "measuring batch-norm statistics" in err
