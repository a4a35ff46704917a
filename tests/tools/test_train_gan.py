"""Training a GAN, going on with one, sampling from it, and the experiment with its pictures."""

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.gan import DEMO_GAN
from datasets.builtin.shapes_and_breeds import draw_breeds
from datasets.images import read_image
from datasets.labels.opening import open_labelled
from datasets.squares import centre_square
from tasks.dcgan.task import GanTask
from tasks.fitting.history import read_metrics
from tasks.runtime.open import read_card
from tests.conftest import Tool
from tests.tools.runs import assert_same_run, straight_run
from tools.dcgan.experiment import arm_data, joined
from tools.flows.photo_loaders import training_loader

FLAGS = (
    "--preset demo --size 32 --width 4 --latent 8 --batch-size 8 --epochs 6 --eval-every 3 "
    "--cls-epochs 2 --cls-batch-size 8 --r1 .1 --r1-every 4 --workers 0"
)
SMALL = FLAGS.split()


@pytest.fixture(scope="module")
def breeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    (root / "three.txt").write_text("Alder_hound\nElm_pug\nIsle_terrier\n")
    return draw_breeds(root / "breeds", num_train=8, num_val=3, size=48)


@pytest.fixture(scope="module")
def data(breeds: Path) -> tuple[Any, ...]:
    return ("--data", breeds, "--classes", breeds.parent / "three.txt", *SMALL)


@pytest.fixture(scope="module")
def run(data: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Training, scores and sheets."""
    with straight_run("train_gan", tmp_path_factory, *data) as folder:
        yield folder


@pytest.mark.slow
def test_a_run_leaves_generator_scores_and_sheets(run: Path) -> None:
    assert {
        "config.json",
        "last.ckpt",
        "metrics.csv",
        "model.safetensors",
        "report.html",
        "report.json",
        "game.png",
        "features",
        "samples",
    } <= {path.name for path in run.iterdir()}
    sheets = sorted(path.name for path in (run / "samples").iterdir())
    assert sheets == ["step-000009.png", "step-000018.png"]
    card, features = read_card(run), read_card(run / "features")
    assert card.task == "dcgan"
    assert card.classes == features.classes
    assert card.classes.names == ("Alder_hound", "Elm_pug", "Isle_terrier")
    report = json.loads((run / "report.json").read_text())
    assert report["measure"] == f"Frechet distance in the features of {run / 'features'}"
    assert report["metrics"] == pytest.approx(card.metrics)
    names = [row["name"] for row in report["scores"]]
    assert names == [
        "generator",
        "untrained generator",
        "held-out images",
        "generator, as many",
    ]
    assert [row["pictures"] for row in report["scores"]] == [24, 24, 9, 9]
    page = re.sub('base64,[^"]*', "", (run / "report.html").read_text())
    assert report["measure"] in page
    assert "FID" not in page
    assert not list(run.glob(".*")), "temporary files were left"


@pytest.mark.slow
def test_the_game_is_logged(run: Path) -> None:
    rows = read_metrics(run / "metrics.csv")
    values = {name: [v for _, n, v in rows if n == name] for name in ("d_real", "d_fake")}
    assert all(len(v) == 1 and 0 < v[0] < 1 for v in values.values()), "one window of ten steps"
    assert {"loss_d", "loss_g", "variety", "frechet", "coverage"} <= {n for _, n, _ in rows}


@pytest.mark.slow
def test_stopped_by_ctrl_c_it_goes_on_as_if_nothing_had_happened(
    run: Path, data: tuple[Any, ...], tool: Tool, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    inner = GanTask.on_train_batch_start

    def interrupt(self: GanTask, batch: Any, batch_idx: int) -> None:
        if self.global_step == 13:  # Within an epoch, and within a window of the curves.
            os.kill(os.getpid(), signal.SIGINT)
        inner(self, batch, batch_idx)

    args = (*data, "--features", run / "features", "--out", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GanTask, "on_train_batch_start", interrupt)
        status, _, err = tool("train_gan", *args)
    assert status == 1
    assert f"stopped and saved to {folder / 'last.ckpt'}; go on with --resume {folder}" in err
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 14
    status, text, err = tool("train_gan", "--resume", folder)
    assert status == 0, err
    assert_same_run(run, folder)
    sheets = [(f / "samples" / "step-000018.png").read_bytes() for f in (run, folder)]
    assert sheets[0] == sheets[1]
    status, again, err = tool("train_gan", "--resume", folder)
    assert status == 0, err
    assert again == text, "a finished run is told, not done again"


@pytest.mark.slow
def test_a_saturated_discriminator_stops_the_run(
    run: Path, data: tuple[Any, ...], tool: Tool, tmp_path: Path
) -> None:
    folder = tmp_path / "over"
    unfair = ("--no-spectral-norm", "--r1", 0, "--lr-discriminator", 0.01, "--lr-generator", 1e-9)
    args = (*data, *unfair, "--diff-augment", "--patience", 20, "--epochs", 60)
    status, text, err = tool(
        "train_gan", *args, "--features", run / "features", "--out", folder, "--experiment"
    )
    assert status == 1
    assert "stopped at step" in err
    assert "the discriminator is saturated" in err
    assert "Traceback" not in err
    report = json.loads((folder / "report.json").read_text())
    assert report["stopped"] in err
    assert "The training stopped" in (folder / "report.html").read_text()
    assert "untrained generator" in err, "what there is is told"
    assert not text
    assert read_metrics(folder / "metrics.csv")[-1][0] < 179
    status, _, err = tool("train_gan", "--resume", folder)
    assert status == 2
    assert "begin another run" in err


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run(
    run: Path, data: tuple[Any, ...], tool: Tool, tmp_path: Path
) -> None:
    args = (*data, "--features", run / "features", "--out", tmp_path / "nan")
    status, _, err = tool("train_gan", *args, "--no-spectral-norm", "--lr-discriminator", 1e30)
    assert status == 1
    assert "a loss is not a number any more at step" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_samples_are_a_folder_per_class(run: Path, tool: Tool, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    args: tuple[Any, ...] = ("--weights", run, "--out", folder, "--json")
    status, text, err = tool("train_gan", *args, "--sample", 4)
    assert status == 0, err
    assert json.loads(text)["pictures"] == 12
    data = open_labelled(folder, "all")
    assert data.classes.names == read_card(run).classes.names
    assert data.counts.tolist() == [4, 4, 4]
    first = read_image(folder / "Elm_pug" / "00000.png", upright=True)
    assert first.shape == (32, 32, 3)
    status, _, err = tool("train_gan", *args, "--sample", 4)
    assert status == 2
    assert f"--out {folder}: holds something already" in err
    other = tmp_path / "more"
    args = ("--weights", run, "--out", other)
    assert tool("train_gan", *args, "--sample", 2)[0] == 0
    again = read_image(other / "Elm_pug" / "00000.png", upright=True)
    assert np.abs(first.astype(int) - again).max() <= 1


@pytest.mark.slow
def test_scores_in_another_classifiers_features(
    run: Path, data: tuple[Any, ...], tool: Tool, tmp_path: Path
) -> None:
    """In its own classifier's the figures are those of the run, whatever else the flags say."""
    again = ("--weights", run, "--features", run / "features", "--out", tmp_path, "--json")
    status, text, err = tool("train_gan", *data, *again)
    assert status == 0, err
    scores = json.loads((run / "report.json").read_text())["scores"]
    for found, wanted in zip(json.loads(text)["scores"], scores, strict=True):
        assert found == pytest.approx(wanted)
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json", "report.html", "report.json"
    }  # fmt: skip


@pytest.mark.slow
def test_the_experiment(
    run: Path, data: tuple[Any, ...], tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "experiment"
    arms = ("real", "real+synthetic")
    args = ("--weights", run, "--experiment", "--seeds", 2, "--arms", *arms, "--out", folder)
    status, text, err = tool("train_gan", *data, *args)
    assert status == 0, err
    inside = folder / "experiment"
    steps = set()
    for arm in arms:
        for seed in (0, 1):
            place = inside / f"{arm}-seed{seed}"
            steps.add(torch.load(place / "last.ckpt", weights_only=True)["global_step"])
            with (place / "predictions.csv").open(newline="") as file:
                assert len(list(csv.DictReader(file))) == 9
    assert steps == {6}, "equal steps: 2 / 2 epochs over 48 images, 8 at a time"
    made = open_labelled(inside / "generated-seed1", "all")
    assert made.counts.tolist() == [8, 8, 8]
    found = json.loads((folder / "experiment.json").read_text())
    assert [row["arm"] for row in found["rows"]] == list(arms)
    assert found["rows"][0]["gain"]["mean"] == 0
    assert found["steps"] == 6
    assert "gains over 'real'" in text
    assert (folder / "experiment.html").exists()
    assert (folder / "experiment.png").exists()
    monkeypatch.setattr("tools.dcgan.judge.fit_run", partial(pytest.fail, "trained again"))
    status, again, err = tool("train_gan", "--resume", folder)
    assert status == 0, err
    assert again == text


@pytest.mark.slow
def test_unaugmented_arms_see_whole_pictures(breeds: Path) -> None:
    """As they will when they are measured."""
    real = open_labelled(breeds, "train")
    config = DEMO_GAN.train_cls("none", epochs=1, seed=0)
    batch = next(iter(training_loader(config, real, 0)))
    for picture, index in zip(batch["images"], batch["image_ids"], strict=True):
        whole = centre_square(real.image(index), 32, crop=1.0)
        assert np.array_equal(picture.permute(1, 2, 0).numpy(), whole)


@pytest.mark.slow
def test_arms_are_of_one_length(breeds: Path) -> None:
    real = open_labelled(breeds, "train")
    made = real.select(real.labels < 3)
    counts = {}
    for arm in ("real", "synthetic", "real+synthetic", "real+standard", "all"):
        data, augment = arm_data(DEMO_GAN, arm, real, made)
        assert len(data) == 2 * len(real) == len(data.labels)
        assert augment == ("small" if arm in ("real+standard", "all") else "none")
        counts[arm] = data.counts
    assert (counts["real"] == 2 * real.counts).all()
    assert counts["synthetic"][3:].sum() == 0
    boxed = joined([real, replace(made, boxes=None)])
    assert boxed.boxes is not None
    assert real.boxes is not None
    assert np.isnan(boxed.boxes[len(real) :]).all()
    assert (boxed.boxes[: len(real)] == real.boxes).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sample", 5), "--sample 5: needs --weights RUN"),
        (("--weights", "x"), "--weights x: goes with --sample N"),
        (("--size", 50), "--size 50: choose one of 32, 64, 128"),
        (("--arms", "real", "real"), "--arms real real: name each once"),
        (("--features", "nowhere"), "nowhere: no such weights file or run folder"),
        (("--data", "nowhere"), "nowhere: no such file or folder"),
    ],
)
def test_mistakes_are_named(
    data: tuple[Any, ...], tool: Tool, tmp_path: Path, flags: tuple[Any, ...], message: str
) -> None:
    status, _, err = tool("train_gan", *data, "--out", tmp_path / "x", *flags)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_generator_of_other_classes_is_refused(
    run: Path, breeds: Path, tool: Tool, tmp_path: Path
) -> None:
    args = ("--data", breeds, *SMALL, "--weights", run, "--experiment", "--out", tmp_path / "x")
    status, _, err = tool("train_gan", *args)
    assert status == 2
    assert "generates Alder_hound, Elm_pug, Isle_terrier, but the data are of" in err
    status, _, err = tool("train_gan", "--weights", run / "features", "--sample", 1)
    assert status == 2
    assert "are for classification; images are generated by those of" in err
