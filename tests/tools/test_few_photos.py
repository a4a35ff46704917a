"""From scratch on few photos: the warning, the command to use instead, and how long it takes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.classification import CLS_PRESETS
from datasets.errors import InputError
from datasets.images import save_image
from tasks.distillation.spec import DistillSpec
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tools.classification.recipe import open_run
from tools.detection.recipe import DetRun
from tools.flows import training
from tools.flows.few_photos import command_with_weights, is_length_given, suit_to_photos
from tools.multitask import recipe as multitask

STOPPED = "stopped before the first step"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "my images" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            save_image(tmp_path / "my images" / name / f"{k}.png", pixels)
    return tmp_path / "my images"


@pytest.fixture
def unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No training gets farther than its configuration."""

    def stop(*_: object, **__: object) -> None:
        raise InputError(STOPPED)

    monkeypatch.setattr(training, "fit_run", stop)


def fit_of(folder: Path) -> dict[str, Any]:
    fit: dict[str, Any] = json.loads((folder / "config.json").read_text())["fit"]
    return fit


@pytest.mark.slow
@pytest.mark.usefixtures("unfitted")
def test_few_photos_get_steps_enough_and_a_better_command(
    photos: Path, tool: Tool, tmp_path: Path
) -> None:
    net = ("--alpha", 0.25, "--size", 64, "--batch-size", 5, "--workers", 0)
    answer = tool("train_cls", "--data", photos, "--out", tmp_path / "a", *net)
    count = int(answer[2].split(" images to train on")[0].split()[-1])
    epochs = -(-2000 // (count // 5))
    modern = CLS_PRESETS["modern"].fit
    expect(
        answer,
        f"{count} images to train on: from scratch, fewer than 600 teach little (measured: 298",
        f"tools/train_cls.py --data '{photos}' --out {tmp_path / 'a'} --alpha 0.25",
        "--workers 0 --weights WEIGHTS",
        f"--epochs {epochs}, chosen by the number of images: {modern.epochs}, as the recipe",
        STOPPED,
    )
    fit = fit_of(tmp_path / "a")
    assert fit["epochs"] == epochs
    assert fit["eval_every"] / modern.eval_every == pytest.approx(epochs / modern.epochs, rel=0.1)
    again = tool("train_cls", "--resume", tmp_path / "a")
    expect(again, STOPPED)
    assert "teach little" not in again[2]
    assert fit_of(tmp_path / "a") == fit
    for name, flags in (("b", ("--epochs", 7)), ("c", ("--preset", "modern"))):
        answer = tool("train_cls", "--data", photos, "--out", tmp_path / name, *net, *flags)
        expect(answer, "teach little", STOPPED)
        assert "chosen by" not in answer[2]
        assert fit_of(tmp_path / name)["epochs"] == (7 if name == "b" else modern.epochs)


@pytest.mark.slow
@pytest.mark.usefixtures("unfitted")
def test_built_in_pictures_stay_as_they_are(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = tool("train_cls", "--out", tmp_path / "a", "--workers", 0)
    expect(answer, STOPPED)
    assert "teach little" not in answer[2]
    assert fit_of(tmp_path / "a")["epochs"] == CLS_PRESETS["demo"].fit.epochs


@pytest.mark.slow
def test_heads_of_a_trunk_are_warned_of(
    photos: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise InputError(STOPPED)

    monkeypatch.setattr(multitask, "fit_and_keep", stop)
    tasks = ("--tasks", f"classes={photos}", "--alpha", 0.1, "--size", 32, "--batch-size", 4)
    answer = tool("train_multi", *tasks, "--workers", 0, "--out", tmp_path / "a")
    expect(
        answer, "images to train on: from scratch, fewer than 600", "--weights WEIGHTS", STOPPED
    )


@pytest.mark.slow
def test_what_helps_is_left_alone(photos: Path, tmp_path: Path) -> None:
    config = replace(CLS_PRESETS["modern"], data=photos)
    for helped in (
        replace(config, weights=tmp_path),
        replace(config, distill=DistillSpec(teacher="teacher")),
        replace(config, data=None),
    ):
        run = open_run(helped, photos)
        assert suit_to_photos(run, tmp_path) is helped
    many = open_run(config, photos)
    many.few_photos = len(many.train)
    assert suit_to_photos(many, tmp_path) is config


def test_a_begun_run_keeps_its_epochs(photos: Path, tmp_path: Path) -> None:
    config = replace(CLS_PRESETS["modern"], data=photos, resume=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"fit": {"epochs": 3, "eval_every": 2}}))
    run = open_run(config, photos)
    fit = suit_to_photos(run, tmp_path).fit
    assert (fit.epochs, fit.eval_every) == (3, 2)
    assert run.config.fit == fit


def test_the_command_leaves_out_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--preset", "paper", "--data", "a b"], ["--data", "a b", "--preset=paper"]):
        monkeypatch.setattr("sys.argv", ["somewhere/train_det.py", *words])
        assert command_with_weights() == "tools/train_det.py --data 'a b' --weights WEIGHTS"


def test_a_length_can_be_given_in_many_ways() -> None:
    for given in ("--epochs 3", "--epochs=3", "--grid lr=1 epochs=2,3", "--preset small"):
        assert is_length_given(f"tools/train_cls.py --data x {given}")
    assert not is_length_given("tools/train_cls.py --data epochs.csv --frozen-epochs 2")


def test_detectors_need_more_photos_than_classifiers() -> None:
    assert DetRun.few_photos == 2000
    assert "AP .00 to .006" in DetRun.measured_on_few
