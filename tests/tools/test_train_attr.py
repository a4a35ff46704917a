"""Face attributes through the real tools: labels, teachers, a grid, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.face_attributes import ATTR_PRESETS, TrainAttr
from configs.io import from_json
from datasets.attributes.opening import open_attributes
from datasets.attributes.structure import choose_attributes
from datasets.builtin.face_drawing import ATTRIBUTES
from datasets.builtin.faces import draw_faces
from tasks.face_attributes.load import open_attribute_teacher
from tasks.runtime.open import read_card
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tools.runs import preset_taken
from tools.flows.photo_loaders import view_loader

NET = ("--alpha", 0.1, "--size", 32, "--stem-stride", 2)
FIT = ("--preset", "demo", "--batch-size", 8, "--epochs", 2, "--eval-every", 2, "--workers", 0)
SOME = ("Smiling", "Eyeglasses", "Long_Hair")
Train = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "faces"
    return draw_faces(root, num_identities=16, per_identity=3, size=40)


@pytest.fixture
def train(tool: Tool, faces: Path, tmp_path: Path) -> Train:
    """Train on the faces into a folder below ``tmp_path``, without a page: it takes as long."""
    return lambda out, *args: tool(
        "train_attr", "--data", faces, "--out", tmp_path / out, *NET, *FIT, *args, report=False
    )


@pytest.fixture
def run(tool: Tool, faces: Path) -> Path:
    """A finished run, trained by the first test that wants it; nobody writes into it."""
    folder = faces.parent / "run"
    if not folder.exists():
        args = ("--data", faces, "--out", folder, "--fit-thresholds", "--attributes", *SOME[::-1])
        status, out, err = tool("train_attr", *args, *NET, *FIT)
        assert status == 0, err
        assert "mean_ap" in out
        assert "Do not infer sex" in out
    return folder


@pytest.mark.slow
def test_a_run_and_what_the_other_tools_make_of_it(
    run: Path, faces: Path, tool: Tool, tmp_path: Path
) -> None:
    card = read_card(run)
    assert card.task == "face_attributes"
    assert card.classes.names == SOME[::-1]
    state, _ = load_weights(run)
    assert state["thresholds"].shape == (3,)
    assert (state["thresholds"] != 0.5).any(), "they were fitted"
    report = json.loads((run / "report.json").read_text())
    assert report["images"] == 6, "the part to test on"
    page = (run / "report.html").read_text()
    assert "Do not infer" in page
    assert "Grad-CAM" in page
    for row in report["per_attribute"].values():
        assert row["majority"] == pytest.approx(max(row["prevalence"], 1 - row["prevalence"]))

    out = tmp_path / "evaluation"
    status, text, err = tool("evaluate", run, "--data", faces, "--out", out, "--json")
    assert status == 0, err
    found = json.loads(text)
    assert found["metrics"] == pytest.approx(report["metrics"], abs=2e-3)
    assert found["unknown_attributes"] == [n for n in ATTRIBUTES if n not in SOME]
    more = ("--split", "all", "--out", tmp_path / "all", "--json")
    status, text, err = tool("evaluate", run, "--data", faces, *more)
    assert status == 0, err
    assert json.loads(text)["images"] == 48
    status, _, err = tool("evaluate", run, "--data", faces, "--proposals", 5)
    assert (status, "--proposals 5: the weights are for face_attributes" in err) == (2, True)

    photo = faces / "img_align_celeba" / "000043.jpg"
    status, text, err = tool("predict", run, photo, "--out", tmp_path / "seen")
    assert status == 0, err
    assert "Do not infer sex" in err
    assert (tmp_path / "seen" / photo.name).exists()
    (row,) = json.loads((tmp_path / "seen" / "predictions.json").read_text())["photos"]
    limits = dict(zip(SOME[::-1], state["thresholds"].tolist(), strict=True))
    assert {*row["present"]} == {n for n, p in row["probabilities"].items() if p >= limits[n]}
    with (run / "predictions.csv").open() as file:
        lines = dict(line.strip().split(",", 1) for line in file)
    written = [float(value) for value in lines[str(photo)].split(",")]
    shares = [row["probabilities"][name] for name in SOME[::-1]]
    np.testing.assert_allclose(written, shares, atol=2e-4)


@pytest.mark.slow
def test_a_student_from_the_teacher_alone(
    run: Path, train: Train, tool: Tool, faces: Path, tmp_path: Path
) -> None:
    """Labels do not matter: photos without any give the same weights, bit for bit."""
    taught = ("--teacher", run, "--attributes", *SOME)
    status, _, err = train("student", *taught, "--augment", "none")
    assert status == 0, err
    assert read_card(tmp_path / "student").classes.names == SOME, "in the order that was asked"
    bare = tmp_path / "bare"
    bare.mkdir()
    for k in range(36):  # The part to train on.
        name = f"{k + 1:06d}.jpg"
        (bare / name).write_bytes((faces / "img_align_celeba" / name).read_bytes())
    more = ("--data", bare, "--val", faces, "--out", tmp_path / "blind")
    kept = (*more, *NET, *FIT, *taught, "--augment", "none")
    status, _, err = tool("train_attr", *kept, report=False)
    assert status == 0, err
    one, two = (load_weights(tmp_path / name)[0] for name in ("student", "blind"))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    for args in (("--attributes", *SOME), (*taught, "--distill-weight", 0.5)):
        more = ("--data", bare, "--val", faces, "--out", tmp_path / "refused")
        status, _, err = tool("train_attr", *more, *NET, *FIT, *args)
        assert (status, "they need a --teacher, and --distill-weight 1" in err) == (2, True), err


@pytest.mark.slow
def test_stored_answers_are_those_of_the_living_teacher(
    run: Path, train: Train, faces: Path, tmp_path: Path
) -> None:
    taught = ("--precision", "fp32", "--teacher", run, "--attributes", *SOME)
    store = ("--targets", tmp_path / "targets")
    status, _, err = train("stored", *taught, *store)
    assert status == 0, err
    assert "storing targets of 2 epochs" in err
    header = json.loads((tmp_path / "targets" / "targets.json").read_text())
    assert (header["answers"], header["classes"]) == ("values", 3)
    config = from_json(TrainAttr, json.loads((tmp_path / "stored" / "config.json").read_text()))
    photos = choose_attributes(open_attributes(faces).part("train"), SOME).photos
    teacher = open_attribute_teacher(config.distill, photos.classes)
    loader = view_loader(config, photos, 0, 64)
    for epoch in range(2):
        loader.load_state_dict({"epoch": epoch, "batches": 0})
        rows = np.load(tmp_path / "targets" / f"{epoch:05d}-00000.npy", allow_pickle=False)
        answers = [teacher(batch["images"]) for batch in loader]
        np.testing.assert_allclose(rows["log"], torch.cat(answers).numpy(), atol=2e-3)
    status, _, err = train("again", *store, "--precision", "fp32", "--attributes", *SOME)
    assert (status, "learning from 2 epochs of targets stored" in err) == (0, True), err
    one, two = (load_weights(tmp_path / name)[0] for name in ("stored", "again"))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    refused: tuple[tuple[tuple[object, ...], str], ...] = (
        (("--seed", 1), "stored with another --seed: 0 there, 1 in this run"),
        (("--augment", "mild"), "stored with another --augment: small there, mild in this run"),
        (("--size", 48), "stored with another --size: 32 there, 48 in this run"),
        (("--teacher", "tests.tools.test_train_attr:nothing"), "stored with another teacher"),
        (("--attributes", *SOME[:2]), "stored with another training data"),
    )
    for args, said in refused:
        status, _, err = train("refused", *taught, *store, *args)
        assert (status, said in err) == (2, True), err


def nothing(pictures: torch.Tensor) -> torch.Tensor:
    """A teacher that does not know."""
    return torch.zeros(len(pictures), 3)


@pytest.mark.slow
def test_a_grid_as_table_12(train: Train, tmp_path: Path) -> None:
    grid = ("--grid", "alpha=.1,.15", "size=32", "+", "size=48", "epochs=1", "--json")
    status, text, err = train("grid", *grid)
    assert status == 0, err
    rows: list[dict[str, Any]] = json.loads(text)["rows"]
    sides = [(row["model"]["alpha"], row["model"]["size"]) for row in rows]
    assert sides == [(0.1, 32), (0.15, 32), (0.1, 48)]
    assert all(0 < row["mean_ap"] < 1 and row["low"] <= row["high"] for row in rows)
    page = (tmp_path / "grid" / "grid.html").read_text()
    assert "mean AP over mult-adds" in page
    assert "top-1" not in page


@pytest.mark.slow
def test_fine_tuning_and_losses(run: Path, train: Train) -> None:
    loss = ("--balance", "--focal-gamma", 2, "--attribute-weights", "Smiling=2")
    status, _, err = train("tuned", "--weights", run, *loss)
    assert status == 0, err
    assert "3 attributes known, 13 start anew" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--attributes", "Smilling"), "no attribute 'Smilling'; the nearest is 'Smiling'"),
        (("--attribute-weights", "Bald=2"), "--attribute-weights Bald=2: no such attribute"),
        (("--teacher", "runs/nothing"), "--teacher runs/nothing: no such run folder"),
        (("--distill-weight", 0.5), "--distill-weight 0.5 does nothing without --teacher"),
        (
            ("--teacher", "x:y", "--focal-gamma", 2),
            "--focal-gamma 2.0 does nothing beside a teach",
        ),
        (("--focal-gamma", -1), "--focal-gamma -1.0 must be 0 or more"),
        (("--grid", "colour=1"), "--grid colour=1: write KEY=VALUE"),
    ],
)
def test_mistakes_are_named(train: Train, args: tuple[object, ...], message: str) -> None:
    status, _, err = train("bad", *args)
    assert (status, message in err) == (2, True), err


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--targets", "t"), ("--targets=t",), ("--teacher", "t")])
def test_answers_alone_take_the_preset_for_them(
    tool: Tool, faces: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    assert preset_taken(tool, monkeypatch, "train_attr", "--data", faces, *flags) == "distill"


def test_presets() -> None:
    def chosen(**given: bool) -> str:
        return ATTR_PRESETS.choose("auto", **given).preset

    assert chosen() == "demo"
    assert chosen(has_teacher=True) == "demo"
    assert chosen(has_data=True) == "labels"
    assert chosen(has_data=True, has_weights=True) == "finetune"
    assert chosen(has_data=True, has_teacher=True) == "distill"
    for name in ("paper", "distill", "demo"):
        assert ATTR_PRESETS[name].fit.weight_decay == 0, "the teacher's answers regularise"
        assert ATTR_PRESETS[name].distill.distill_weight == 1
    paper = ATTR_PRESETS["paper"]
    assert paper.fit.eval_every == paper.fit.epochs, "no early stopping"
    with pytest.raises(ValueError, match="--preset x: choose one of auto, paper"):
        ATTR_PRESETS.choose("x", has_data=True, has_weights=False)
