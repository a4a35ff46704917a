"""What a face network is measured on: strangers, as far as its card tells whom it has seen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from configs.face_embedding import TrainEmbed
from datasets.spec import Split
from tasks.application import NoOptions
from tasks.face_embedding.application import FACE_EMBEDDING
from tasks.face_embedding.load import TrainedOn, digest_of
from tasks.face_embedding.spec import EmbedderSpec, FaceSpec
from tasks.fitting.checkpoint import RunKeeper
from tasks.fitting.stopwatch import Stopwatch
from tasks.predictor import Model
from tools.face_embedding.data import left_out_fold, open_both, open_part
from tools.face_embedding.recipe import open_run

FOLDS = 5


def photograph(root: Path, names: list[str], rng: np.random.Generator) -> None:
    """Two photos of noise for each of some people."""
    for name in names:
        (root / name).mkdir(parents=True)
        for k in (1, 2):
            photo = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(root / name / f"{name}_{k:04d}.png"), photo)


@pytest.fixture
def lfw(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Twelve people with two photos; each fold of the pairs has two of the first ten."""
    root = tmp_path / "lfw"
    names = [f"P_{k:02d}" for k in range(12)]
    photograph(root, names, rng)
    rows = [f"{FOLDS}\t1"]
    for one, other in zip(names[0:10:2], names[1:10:2], strict=True):
        rows += [f"{one}\t1\t2", f"{one}\t1\t{other}\t1"]
    (root / "pairs.txt").write_text("\n".join(rows))
    return root


def card_of(path: Path, faces: FaceSpec) -> tuple[TrainedOn, set[str]]:
    config = TrainEmbed(data=path, faces=faces)
    train, _ = open_both(config, path)
    names = train.classes.names
    return TrainedOn(str(path), left_out_fold(config, path), digest_of(names)), set(names)


def measure(
    path: Path, told: TrainedOn | None, split: Split | None = None, fold: int | None = None
) -> tuple[set[str], tuple[int, ...] | None, str]:
    """Names of the people, tested folds, warning."""
    data, warning = open_part(path, split, FaceSpec(fold=fold), 32, told)
    names = {data.classes.names[label] for label in data.labels.tolist()}
    return names, None if data.pairs is None else data.pairs.tested, warning


@pytest.mark.slow
def test_of_the_training_data_what_was_left_out(
    lfw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, trained = card_of(lfw, FaceSpec(fold=3))
    assert told.left_out_fold == 3
    names, tested, warning = measure(lfw, told)
    assert (tested, warning) == ((2,), "")
    assert not names & trained
    assert "measuring fold 3 that was left out" in capsys.readouterr().err
    assert measure(lfw, told, "val")[1:] == ((2,), "")
    moved = lfw.rename(tmp_path / "elsewhere")
    assert measure(moved, told)[1:] == ((2,), ""), "people are told, not paths"
    _, tested, warning = measure(moved, told, fold=4)
    assert tested == (3,)
    assert warning.startswith("2 of the 4 people are in the data that the weights were trained on")
    names, tested, warning = measure(moved, told, "train")
    assert (names, tested) == (trained, None)
    assert warning.startswith("8 of the 8 people")
    assert measure(moved, told, "all")[2].startswith("8 of the 12 people")
    with pytest.raises(ValueError, match="--fold 3: of pairs to test on; --split train has none"):
        measure(moved, told, "train", 3)


@pytest.mark.slow
def test_of_other_data_everything(lfw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = TrainedOn("elsewhere", 10, digest_of(["Q"]))
    assert measure(lfw, told)[1:] == ((0, 1, 2, 3, 4), "")
    assert "do not state" not in capsys.readouterr().err
    assert measure(lfw, None)[1:] == ((0, 1, 2, 3, 4), "")
    assert "the weights do not state whom they were trained on" in capsys.readouterr().err
    # Trained on all of it, but for people of a --val that is not named here.
    told = TrainedOn(str(lfw), None, digest_of(["P_00"]))
    assert measure(lfw, told)[2].startswith("10 of the 10 people are in the data")


@pytest.mark.slow
def test_a_folder_of_people_is_parted_again(lfw: Path) -> None:
    (lfw / "pairs.txt").unlink()
    told, trained = card_of(lfw, FaceSpec())
    assert told.left_out_fold is None
    names, tested, warning = measure(lfw, told)
    assert (tested, warning) == (None, "")
    assert names
    assert not names & trained
    assert measure(lfw, None, "val")[0] == names, "a part that is named is taken of any data"
    assert len(measure(lfw, None)[0]) == 12
    with pytest.raises(ValueError, match=r"has no pairs.txt with folds; leave it out"):
        card_of(lfw, FaceSpec(fold=3))


@pytest.mark.slow
@pytest.mark.parametrize("chooses", [True, False])
def test_tested_pairs_choose_no_weights(
    lfw: Path, tmp_path: Path, rng: np.random.Generator, chooses: bool
) -> None:
    """The pairs of another fold may; without them the last evaluation is kept."""
    small = EmbedderSpec(alpha=0.1, size=32, dim=6)
    config = TrainEmbed(data=lfw, model=small, faces=FaceSpec(fold=3))
    if not chooses:  # All folds of the other data are tested.
        photograph(tmp_path / "others", ["Q_00", "Q_01"], rng)
        config = TrainEmbed(data=tmp_path / "others", val=lfw, model=small)
    assert config.data is not None
    run = open_run(config, config.data)
    network, card = run.build(None)
    model = Model(FACE_EMBEDDING, card, tmp_path, NoOptions(), network=network)
    exam = run.exam(model, workers=0, tested=False, alone=False)
    assert exam.evaluator.chooses == chooses
    task = run.task(model, exam, None)
    kept: list[float] = []
    keeper = RunKeeper(tmp_path, 1, lambda _, m: kept.append(m["selection"]), Stopwatch())
    for value in (0.7, 0.9, 0.8):
        found = {"selection": torch.tensor(value)}
        trainer: Any = SimpleNamespace(
            sanity_checking=False, is_global_zero=True, callback_metrics=found
        )
        keeper.on_validation_end(trainer, task)
    assert kept == pytest.approx([0.7, 0.9] if chooses else [0.7, 0.9, 0.8])
    notes = run.after_fit(model, tmp_path, "cpu", 0)
    assert notes[0][0] == "chosen"
    assert ("are left to choose by" in notes[0][1]) != chooses
    assert notes[1:] == ([("tested", "fold 3; the other for the threshold")] if chooses else [])
