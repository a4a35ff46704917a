"""Fine-grained training: a noisy web first, without copies of test photos, then the data."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.fine_grained import DOGS_PRESETS
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_web
from datasets.labels.opening import open_labelled
from datasets.labels.structure import choose_classes
from datasets.splitting import Fold, folded
from tasks.classification.task import ClassificationTask
from tasks.fitting.checkpoint import InterruptedRun
from tasks.fitting.stopwatch import Stopwatch
from tasks.runtime.open import read_card
from tests.conftest import Tool
from tests.datasets.label_fakes import write_folders
from tests.tools.runs import assert_same_run, straight_run
from tests.tools.stopping import signal_at
from tools.classification import data as photos
from tools.fine_grained.recipe import FINE_GRAINED_RECIPE, clean_web
from tools.flows import photo_loaders
from tools.flows.folds import select_within
from tools.flows.recipe import Loading

FLAGS = (
    "--preset demo --size 32 --batch-size 16 --epochs 2 --web-epochs 2 --copy-bits 2 --workers 0"
)
SMALL = FLAGS.split()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    draw_breeds(root / "breeds", num_train=4, num_val=2, size=64)
    draw_web(root / "web", num=5, copies=1, strays=2, size=64)
    return root


@pytest.fixture(scope="module")
def both(sets: Path) -> tuple[Any, ...]:
    return ("--data", sets / "breeds", "--web", sets / "web", *SMALL)


@pytest.fixture(scope="module")
def run(both: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with straight_run("train_dogs", tmp_path_factory, *both) as folder:
        yield folder


def test_the_web_stage_of_a_fold_selects_on_other_images_than_it_reports_on(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def stop(stage: Any, *_: Any, **__: Any) -> None:
        found.append(stage)
        raise InterruptedRun

    monkeypatch.setattr("tools.fine_grained.recipe.fit_run", stop)
    path, fold = tmp_path / "breeds", Fold(1, 2)
    for breed in (sets / "breeds" / "Images").iterdir():
        shutil.copytree(breed, path / breed.name.partition("-")[2])
    config = replace(DOGS_PRESETS["demo"], data=path, web=sets / "web", boxes=False)
    with folded(fold):
        run = FINE_GRAINED_RECIPE.open(config, path)
    select_within(run, fold)
    with pytest.raises(InterruptedRun):
        run.prepare(tmp_path, "cpu", Stopwatch())
    chosen, reported = ({str(file) for file in one.files} for one in (found[0].chosen, run.val))
    assert chosen
    assert reported
    assert not chosen & reported


@pytest.mark.slow
def test_a_run_of_two_stages(run: Path) -> None:
    for place in (run, run / "web"):
        assert {"model.safetensors", "last.ckpt", "metrics.csv"} <= {
            p.name for p in place.iterdir()
        }
    card, first = read_card(run), read_card(run / "web")
    assert card.task == first.task == "classification"
    assert card.classes == first.classes
    assert len(card.classes) == 12
    assert "images cut to their boxes" in card.source
    assert f"from {run / 'web'}" in card.source
    assert "boxes" not in first.source
    assert json.loads((run / "config.json").read_text())["weights"] is None, "as it was given"
    report = json.loads((run / "report.json").read_text())
    assert f"top-1 {first.metrics['top1']:.3f}" in report["facts"]["first stage"]
    assert "12 that look like test images" in report["facts"]["web"]
    record = json.loads((run / "web" / "stage.json").read_text())
    assert record["unknown"] == ["mixed breeds"]
    assert len(record["copies"]) == 12
    assert all("seen_" in web and "Images" in test for web, test in record["copies"])


@pytest.mark.slow
def test_the_other_tools_take_it(run: Path, sets: Path, tool: Tool, tmp_path: Path) -> None:
    args = (run, "--data", sets / "breeds", "--json", "--out", tmp_path / "e")
    status, text, err = tool("evaluate", *args, "--boxes")
    assert status == 0, err
    ours = json.loads((run / "report.json").read_text())
    found = json.loads(text)
    assert found["metrics"]["loss"] == ours["metrics"]["loss"]
    assert "cut to its box" in found["facts"]["data"]
    status, text, err = tool("evaluate", *args)
    assert status == 0, err
    assert json.loads(text)["metrics"]["loss"] != ours["metrics"]["loss"]
    photo = next((sets / "breeds/Images").rglob("*.jpg"))
    status, _, err = tool("predict", run, photo, "--out", tmp_path / "seen")
    assert status == 0, err


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
def test_it_goes_on_in_the_stage_that_was_interrupted(
    run: Path, both: tuple[Any, ...], tool: Tool, tmp_path: Path, stage: int
) -> None:
    folder = tmp_path / "stopped"
    inner, begun = ClassificationTask.on_train_batch_start, []

    def fail(self: ClassificationTask, batch: Any, batch_idx: int) -> None:
        if self.global_step == 0:
            begun.append(1)
        if len(begun) == stage and self.global_step == 4:
            raise KeyboardInterrupt
        inner(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassificationTask, "on_train_batch_start", fail)
        assert tool("train_dogs", *both, "--out", folder)[0] == 1
    assert (folder / "web" / "stage.json").exists() == (stage == 2)
    if stage == 2:
        shutil.rmtree(folder / "web" / "tensorboard")  # Nothing of the first is done again.
        (folder / "web" / "last.ckpt").unlink()
    status, _, err = tool("train_dogs", "--resume", folder)
    assert status == 0, err
    assert_same_run(run, folder)
    if stage == 1:
        assert_same_run(run / "web", folder / "web")


@pytest.mark.slow
def test_a_report_is_of_all_photos_on_one_of_two_processes(
    run: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_loaders, "rank_and_world", lambda: (0, 2))
    data, card = photos.open_photos(sets / "breeds", "val", None), read_card(run)

    def scored(alone: bool) -> list[int]:
        split = photo_loaders.make_photos(data, card, Loading(5, workers=0, alone=alone))
        return [image_id for batch in split.loader for image_id in batch["image_ids"]]

    assert scored(False) == list(range(0, 24, 2))
    assert scored(True) == list(range(24))


def test_web_folders_are_matched_with_the_classes_that_are_trained(tmp_path: Path) -> None:
    """The photos to evaluate on may be of fewer, or stand in another order."""
    counts = {"train/pug": 2, "train/ant": 2, "train/cat": 2, "val/pug": 1}
    train = open_labelled(write_folders(tmp_path / "set", counts), "train")
    val = open_labelled(tmp_path / "set", "val")
    fewer = choose_classes(val, ["pug"])
    web = write_folders(tmp_path / "web", {"cat": 3, "pug": 3})
    found = clean_web(web, train.classes, fewer, 0)
    assert found.data.classes == train.classes
    assert found.data.counts.tolist() == [0, 3, 3]
    assert found.unknown == ()


@pytest.mark.slow
def test_without_a_web_there_is_one_stage(sets: Path, tool: Tool, tmp_path: Path) -> None:
    args = ("--data", sets / "breeds", "--epochs", 1, "--frozen-epochs", 1)
    status, _, err = tool("train_dogs", *SMALL, *args, "--out", tmp_path / "run")
    assert status == 0, err
    assert not (tmp_path / "run" / "web").exists()


@pytest.mark.slow
def test_wrong_labels_on_purpose(sets: Path, tool: Tool, tmp_path: Path) -> None:
    args = ("--data", sets / "breeds", "--noise", 0.4, "--robust", "gce")
    status, _, err = tool("train_dogs", *SMALL, *args, "--out", tmp_path / "run")
    assert status == 0, err
    assert "19 of 48 labels are wrong on purpose" in err
    facts = json.loads((tmp_path / "run" / "report.json").read_text())["facts"]
    told = re.fullmatch(
        r"19 of 48 training images, on purpose; ([\d.]+)% of them memorised",
        facts["wrong labels"],
    )
    assert told
    assert float(told[1]) in {round(100 * k / 19, 1) for k in range(20)}


@pytest.mark.slow
def test_a_stopped_first_stage_says_how_to_go_on(
    both: tuple[Any, ...], tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_at(0, monkeypatch)
    status, _, err = tool("train_dogs", *both, "--out", tmp_path / "run")
    assert status == 1
    assert err.splitlines()[-1].endswith(f"go on with --resume {tmp_path / 'run'}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--web", "nowhere"], "--web nowhere: no such folder"),
        (["--web-epochs", "-1"], "--web-epochs -1 must be 0 or more"),
        (["--web-lr", "0"], "--web-lr 0.0 must be above 0"),
        (["--noise", "1"], "--noise 1.0 is not in [0, 1)"),
        (["--noise", ".001"], "--noise 0.001: of 48 images that is none"),
        (["--copy-bits", "32"], "--copy-bits 32 is not in 0..31"),
        (["--gce-q", "0"], "--gce-q 0.0 is not in (0, 1]"),
        (["--frozen-epochs", "3"], "--frozen-epochs 3 is not in 0..2, the epochs"),
        (["--layer-decay", "1.5"], "--layer-decay 1.5 is not in (0, 1]"),
        (["--preset", "small"], "--preset small: choose one of auto, paper"),
    ],
)
def test_bad_flags(sets: Path, tool: Tool, tmp_path: Path, flags: list[str], message: str) -> None:
    args = ("--data", sets / "breeds", *SMALL, "--out", tmp_path / "x", *flags)
    status, _, err = tool("train_dogs", *args)
    assert status == 2, err
    assert message in err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_web_of_other_things(sets: Path, tool: Tool, tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(sets / "web" / "mixed breeds", web / "cats")
    args = ("--data", sets / "breeds", "--web", web, *SMALL, "--out", tmp_path / "x")
    status, _, err = tool("train_dogs", *args)
    assert status == 2
    assert "none of its 1 folders (cats) is named like a class of the data (Alder_hound" in err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_boxes_that_are_not_there(sets: Path, tool: Tool, tmp_path: Path) -> None:
    args = ("--data", sets / "web", *SMALL, "--out", tmp_path / "x")
    status, _, err = tool("train_dogs", *args)
    assert status == 2
    assert "--boxes" in err
    assert "format folders has no boxes" in err
