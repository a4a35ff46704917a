"""Faster R-CNN through the real tools: trained, killed and resumed, measured, used."""

import base64
import csv
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.detection import TrainDet
from tasks.detection.model import detector_cost
from tasks.detection.spec import DetectorSpec
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.datasets.fakes import GOOD_BOXES, write_coco, write_voc, write_yolo
from tests.tools.conftest import Finished
from tests.tools.mistakes import expect
from tests.tools.runs import SMALL, assert_same_run, start, train, unchanged, wait_for

RECIPE = ("--framework", "faster_rcnn_300", "--proposals", 20, *SMALL, "--eval-every", 3)
EPOCHS = 8
SPEC = DetectorSpec(framework="faster_rcnn_300", alpha=0.25, size=64, proposals=20, roi_pool=True)


@pytest.fixture(scope="module")
def two_stage(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A finished run of Faster R-CNN on the small scenes."""
    folder = tmp_path_factory.mktemp("runs") / "two_stage"
    args = ("--data", scenes, "--out", folder, *RECIPE, "--epochs", EPOCHS, "--json")
    done = train(*args, "--workers", 1)
    assert done.returncode == 0, done.stderr
    with unchanged(folder):
        yield Finished(folder, json.loads(done.stdout), done.stderr)


@pytest.mark.slow
def test_report_and_card_tell_framework_proposals_and_cost(two_stage: Finished) -> None:
    card = load_weights(two_stage.folder)[1]
    assert card.model == SPEC.to_json()
    facts = two_stage.result["facts"]
    for part in ("framework faster_rcnn_300", "proposals 20", "roi_pool True"):
        assert part in facts["model"]
    cost = detector_cost(SPEC, 8)
    assert facts["cost"] == str(cost)
    assert two_stage.result["cost"] == {"mult_adds": cost.mult_adds, "params": cost.params}
    page = (two_stage.folder / "report.html").read_text()
    assert "faster_rcnn_300" in page
    assert facts["cost"] in page


@pytest.mark.slow
def test_the_losses_of_both_stages_are_kept_and_shown(two_stage: Finished) -> None:
    rows = list(csv.reader((two_stage.folder / "metrics.csv").open()))
    stages = {"loss_rpn_class", "loss_rpn_box", "loss_class", "loss_box"}
    assert stages <= {name for _, name, _ in rows[1:]}
    page = (two_stage.folder / "report.html").read_text()
    plots = [base64.b64decode(part) for part in re.findall(r"svg\+xml;base64,([\w+/=]+)", page)]
    for name in stages:
        assert any(name.encode() in plot for plot in plots), name


@pytest.mark.slow
def test_fewer_proposals_cost_less(
    two_stage: Finished, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    args = ("--data", scenes, "--workers", 0, "--json", "--out", tmp_path)
    status, text, err = tool("evaluate", two_stage.folder, *args, "--proposals", 5)
    assert status == 0, err
    report, before = json.loads(text), two_stage.result
    assert "proposals 5" in report["facts"]["model"]
    assert report["cost"]["params"] == before["cost"]["params"]
    assert report["cost"]["mult_adds"] == detector_cost(replace(SPEC, proposals=5), 8).mult_adds
    assert report["cost"]["mult_adds"] < 0.5 * before["cost"]["mult_adds"]
    results = json.loads((tmp_path / "results.json").read_text())
    for image in {row["image_id"] for row in results}:
        places = [row["category_id"] for row in results if row["image_id"] == image]
        assert max(places.count(kind) for kind in places) <= 5


@pytest.mark.slow
def test_evaluation_gives_the_numbers_of_the_run(
    two_stage: Finished, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    args = ("--data", scenes, "--workers", 0, "--json", "--out", tmp_path, "--batch-size", 3)
    status, text, err = tool("evaluate", two_stage.folder, *args)
    assert status == 0, err
    again = json.loads(text)
    assert again["metrics"] == pytest.approx(two_stage.result["metrics"], abs=2e-3)
    assert again["facts"]["cost"] == two_stage.result["facts"]["cost"]


@pytest.mark.slow
def test_predict(two_stage: Finished, scenes: Path, tool: Tool, tmp_path: Path) -> None:
    photo = sorted((scenes / "val").iterdir())[0]
    # So short a training may be sure of nothing: whatever it finds is shown.
    args = ("--out", tmp_path, "--score-threshold", 0, "--proposals", 3, "--json")
    status, text, err = tool("predict", two_stage.folder, photo, *args)
    assert status == 0, err
    assert (tmp_path / f"{photo.stem}.jpg").exists() or (tmp_path / photo.name).exists()
    found = json.loads(text)
    assert len(found["images"]) == 1
    assert 0 < len(found["annotations"]) <= 3 * 8


@pytest.mark.slow
def test_impossible_proposals_are_refused(
    two_stage: Finished, detector: Path, scenes: Path, tool: Tool
) -> None:
    for name, path in (("evaluate", ("--data", scenes)), ("predict", (scenes / "val",))):
        answer = tool(name, two_stage.folder, *path, "--proposals", 0)
        expect(answer, "--proposals 0 is not in 1")
        answer = tool(name, detector, *path, "--proposals", 5)
        expect(answer, "--proposals 5: SSD has no second stage")


def yolo(root: Path) -> Path:
    return write_yolo(root, {k: f"{n % 2} .5 .5 .4 .6\n" for n, k in enumerate("abcd")})


def coco(root: Path) -> Path:
    return write_coco(root, GOOD_BOXES, images=3)


@pytest.mark.slow
@pytest.mark.parametrize(("write", "names"), [(coco, "cat"), (write_voc, "person"), (yolo, "cat")])
def test_every_format(
    tool: Tool, tmp_path: Path, write: Callable[[Path], Path], names: str
) -> None:
    data = write(tmp_path / "data")
    args = ("--data", data, "--out", tmp_path / "run", *RECIPE, "--batch-size", 2, "--epochs", 1)
    status, text, err = tool("train_det", *args, "--workers", 0, "--json")
    assert status == 0, err
    assert f"format {write.__name__.removeprefix('write_')}" in err
    assert names in json.loads(text)["per_class"]


@pytest.mark.slow
def test_killed_and_resumed(two_stage: Finished, scenes: Path, tool: Tool, tmp_path: Path) -> None:
    """Proposals and samples are drawn as if nothing had happened."""
    folder = tmp_path / "killed"
    args = ("--data", scenes, "--out", folder, *RECIPE, "--epochs", EPOCHS, "--workers", 1)
    process = start(*args)
    wait_for(folder / "metrics.csv", process)
    process.send(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert state["global_step"] < EPOCHS * 4, "the run was over before it was killed"
    status, _, err = tool("train_det", "--resume", folder)
    assert status == 0, err
    assert_same_run(two_stage.folder, folder)


@pytest.mark.slow
def test_two_processes(scenes: Path, tmp_path: Path) -> None:
    args = ("--data", scenes, "--out", tmp_path, *RECIPE, "--epochs", 1, "--workers", 0)
    done = train(*args, "--batch-size", 3, "--json", processes=2)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "8 images" in result["facts"]["data"]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.slow
def test_a_body_goes_from_ssd_to_faster_rcnn_and_its_width_with_it(
    detector: Path, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    args = ("--weights", detector, "--framework", "faster_rcnn_300", "--size", 64)
    few = ("--batch-size", 6, "--proposals", 9, "--epochs", 1, "--workers", 0)
    status, _, err = tool("train_det", "--data", scenes, *args, *few, "--out", tmp_path / "run")
    assert status == 0, err
    assert "0 classes known, 8 start anew" in err
    assert load_weights(tmp_path / "run")[1].model["alpha"] == 0.25


def read(monkeypatch: pytest.MonkeyPatch, *flags: object) -> TrainDet:
    """What ``tools/train_det.py`` would do."""
    from tools.flows.flags import read_flags
    from tools.train_det import told_presets

    monkeypatch.setattr(sys, "argv", ["tools/train_det.py", *map(str, flags)])
    return read_flags(told_presets())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--framework", "faster_rcnn_600"], {"size": 600, "proposals": 300}),
        (["--framework=faster_rcnn_600", "--size", "320"], {"size": 320}),
        (["--framework", "faster_rcnn_300"], {"size": 300, "alpha": 0.25, "roi_pool": True}),
        (["--framework", "faster_rcnn_300", "--no-roi-pool"], {"roi_pool": False}),
        (["--framework", "faster_rcnn_300", "--data", "x"], {"alpha": 1.0, "roi_pool": False}),
        (["--backbone", "inception_v2"], {"size": 300, "alpha": 1.0}),
        (
            ["--backbone", "vgg16", "--framework", "faster_rcnn_300"],
            {"backbone": "vgg16", "alpha": 1.0, "roi_pool": False},
        ),
    ],
)
def test_defaults_go_by_framework_and_body(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], expected: dict[str, Any]
) -> None:
    model = read(monkeypatch, *flags).model.to_json()
    assert {name: model[name] for name in expected} == expected


@pytest.mark.slow
def test_weights_bring_their_architecture(
    two_stage: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read(monkeypatch, "--weights", two_stage.folder)
    assert config.preset == "finetune"
    assert config.model == DetectorSpec(**load_weights(two_stage.folder)[1].model)
    with pytest.raises(ValueError, match=r"--backbone vgg16: .* has mobilenet_v1"):
        read(monkeypatch, "--weights", two_stage.folder, "--backbone", "vgg16")


@pytest.mark.slow
def test_another_second_stage_is_refused_by_its_flag(
    two_stage: Finished, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    args = ("--weights", two_stage.folder, "--data", scenes, "--out", tmp_path / "run")
    answer = tool("train_det", *args, "--no-roi-pool")
    expect(answer, "have roi_pool True, the model to train False; choose --roi-pool")
    assert not answer[2].rstrip().endswith("True")


@pytest.mark.slow
def test_help_tells_the_flags(tool: Tool) -> None:
    status, text, _ = tool("train_det", "--help")
    assert status == 0
    shown = re.sub(r"[\s│]+", " ", text)
    for flag in ("--proposals INT", "--roi-pool", "--backbone", "--rpn-samples", "--keep-aspect"):
        assert flag in shown, flag
    assert "faster_rcnn_600" in shown
    for name in ("evaluate", "predict"):
        assert "--proposals" in tool(name, "--help")[1]
