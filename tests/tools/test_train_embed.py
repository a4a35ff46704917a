"""Training embeddings of faces, and what the other tools do with them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.face_embedding import DEMO_EMBED, EmbeddingDistillSpec
from datasets.builtin.identities import draw_identities
from datasets.identities.lfw import read_lfw
from datasets.identities.structure import FaceData
from tasks.face_embedding.evaluator import FaceEvaluator
from tasks.face_embedding.load import NO_CLASSES, describe_model
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.face_embedding.use import TASK
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tasks.ncnn import MobileFaceNet
from tests.tasks.ncnn_files import write_ncnn
from tests.tools.runs import assert_same_run, preset_taken
from tests.tools.stopping import signal_at
from tools.face_embedding.recipe import open_run

SMALL = (
    *("--preset", "demo", "--alpha", 0.1, "--size", 32, "--stem-stride", 2, "--dim", 8),
    *("--batch-size", 24, "--epochs", 2, "--eval-every", 1, "--workers", 0, "--threads", 1),
)
Train = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "people"
    return draw_identities(root, num_identities=67, per_identity=3, num_pairs=3, size=40)


@pytest.fixture
def train(tool: Tool, people: Path, tmp_path: Path) -> Train:
    """Train on the people into a folder below ``tmp_path``, without a page: it takes as long."""
    return lambda out, *args, report=False: tool(
        "train_embed", "--data", people, "--out", tmp_path / out, *SMALL, *args, report=report
    )


@pytest.mark.slow
def test_a_run_and_what_the_other_tools_do_with_it(
    train: Train, people: Path, tool: Tool, tmp_path: Path
) -> None:
    status, out, err = train("run", report=True)
    assert status == 0, err
    assert "accuracy" in out
    assert "141 faces, 47 people" in err
    run = tmp_path / "run"
    for name in ("config.json", "last.ckpt", "report.html", "pairs.csv", "metrics.csv"):
        assert (run / name).exists(), name
    state, card = load_weights(run)
    assert not [name for name in state if name.startswith("margin_head")]
    assert not len(card.classes), "nobody's name travels with the weights"
    assert card.model["alignment"] == "none"
    report = json.loads((run / "report.json").read_text())
    assert len(report["folds"]) == 10
    assert report["pairs"] == {"same": 30, "different": 30}

    status, text, err = tool(
        "evaluate", run, "--data", people, "--out", tmp_path / "again", "--json"
    )
    assert status == 0, err
    assert json.loads(text)["metrics"]["accuracy"] == report["metrics"]["accuracy"]
    assert "warning" not in json.loads(text)["facts"], "the people of val/ are strangers to it"
    assert "the last epoch" in report["facts"]["chosen"]
    status, text, err = tool(
        "evaluate", run, "--data", people / "train", "--split", "all", "--out", tmp_path / "all"
    )
    assert status == 0, err
    assert "rank1" in text
    warning = "47 of the 47 people are in the data that the weights were trained on"
    assert text.startswith(f"warning: {warning}")
    assert warning in (tmp_path / "all" / "report.html").read_text()
    _predict(tool, run, people, tmp_path)
    status, _, err = tool(
        "evaluate",
        run,
        "--data",
        people,
        "--points",
        people / "points.csv",
        "--out",
        tmp_path / "x",
    )
    assert status == 2
    assert "trained on faces of alignment 'none', but those of" in err


def _predict(tool: Tool, run: Path, people: Path, tmp_path: Path) -> None:
    person = sorted(p for p in (people / "val").iterdir() if p.is_dir())[0]
    status, text, err = tool("predict", run, person, "--out", tmp_path / "seen")
    assert status == 0, err
    rows = json.loads((tmp_path / "seen" / "predictions.json").read_text())
    assert rows["threshold"] == read_card(run).metrics["threshold"]
    assert [len(row["nearest"]) for row in rows["photos"]] == [2, 2, 2]
    assert len(list((tmp_path / "seen").glob("*.jpg"))) == 3
    photo = next(person.glob("*.jpg"))
    status, text, err = tool(
        "predict", run, photo, "--gallery", people / "val", "--out", tmp_path / "found", "--json"
    )
    assert status == 0, err
    nearest = json.loads(text)["photos"][0]["nearest"]
    assert str(photo) not in [row["file"] for row in nearest]
    assert len(nearest) == 5
    status, text, err = tool(
        "predict", run, photo, "--gallery", people / "val", "--out", tmp_path / "found"
    )
    assert status == 0, err
    shown = Path(nearest[0]["file"]).relative_to(people / "val")
    assert f"{photo}: {shown.as_posix()} " in text
    status, _, err = tool("predict", run, photo, "--out", tmp_path / "found")
    assert status == 2
    assert "name two images with a face or more, or a --gallery" in err
    status, _, err = tool("predict", run, person, "--alignment", "five_points")
    assert status == 2
    assert "have 'five_points'" in err


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(train: Train, tool: Tool, tmp_path: Path) -> None:
    """In the order that brings photos of a person together."""
    extra = ("--objective", "triplet", "--per-identity", 3)
    assert train("straight", *extra)[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        signal_at(7, patch)
        status, _, err = train("stopped", *extra)
    assert status == 1, err
    folder = tmp_path / "stopped"
    assert 0 < torch.load(folder / "last.ckpt", weights_only=True)["global_step"] < 10
    status, _, err = tool("train_embed", "--resume", folder, "--workers", 0, report=False)
    assert status == 0, err
    assert_same_run(tmp_path / "straight", folder)
    # A page was not wanted; the figures, by which a run counts as finished, are there.
    assert (folder / "report.json").exists()
    assert not (folder / "report.html").exists()


@pytest.mark.slow
def test_a_grid_as_table_14(train: Train, people: Path, tool: Tool, tmp_path: Path) -> None:
    grid = ("--grid", "alpha=.1,.15", "+", "resolution=48", "epochs=1", "--json")
    status, text, err = train("grid", *grid)
    assert status == 0, err
    rows = json.loads(text)["rows"]
    sides = [(row["model"]["alpha"], row["model"]["size"], row["model"]["dim"]) for row in rows]
    assert sides == [(0.1, 32, 8), (0.15, 32, 8), (0.1, 48, 8)]
    run = tmp_path / "grid" / "mobilenet_v1-a0.15-32-seed0"
    assert (
        rows[1]["accuracy"] == json.loads((run / "report.json").read_text())["metrics"]["accuracy"]
    )
    assert read_card(run).model["alignment"] == "none"
    assert "accuracy over mult-adds" in (tmp_path / "grid" / "grid.html").read_text()
    status, again, err = tool("train_embed", "--resume", tmp_path / "grid", "--json")
    assert status == 0, err
    assert json.loads(again)["rows"] == rows, "what is finished is not trained again"
    status, text, err = train("all", "--data", people / "train", "--grid", "epochs=1", "--json")
    assert status == 0, err
    assert 0 < json.loads(text)["rows"][0]["auc"] <= 1, "all images with all have no accuracy"


@pytest.mark.slow
def test_stored_targets_are_those_of_the_live_teacher(people: Path, tmp_path: Path) -> None:
    """For every picture of every epoch as the student sees it, to half precision."""
    torch.manual_seed(3)
    spec = EmbedderSpec(alpha=0.1, size=32, dim=8)
    network = FaceEmbedder(spec)
    card = Card(TASK, describe_model(spec, "none"), network.body.flavour, NO_CLASSES)
    teacher = tmp_path / "teacher.safetensors"
    save_weights(teacher, network.state_dict(), card)
    fit = replace(DEMO_EMBED.fit, epochs=2, batch_size=24, precision="fp32")
    told = EmbeddingDistillSpec(teacher=str(teacher))
    config = replace(DEMO_EMBED, data=people, model=spec, fit=fit, distill=told, workers=0)
    live = open_run(config, people).target_source("cpu")
    storing = replace(config, distill=replace(told, targets=tmp_path / "targets"))
    stored = open_run(storing, people).target_source("cpu")
    assert live is not None
    assert stored is not None
    loader = open_run(config, people).training_loader(0)
    for epoch in range(2):
        loader.load_state_dict({"epoch": epoch, "batches": 0})
        for batch in loader:
            images, ids = batch["images"], batch["image_ids"]
            one, two = (t.teacher_targets(epoch, ids).answers(images) for t in (live, stored))
            assert torch.allclose(one, two, atol=1e-3)


@pytest.mark.slow
def test_targets_of_another_run_are_refused(train: Train, tmp_path: Path) -> None:
    assert train("teacher")[0] == 0
    teacher, store = tmp_path / "teacher", tmp_path / "targets"
    status, _, err = train("stored", "--teacher", teacher, "--targets", store)
    assert status == 0, err
    assert "storing targets of 2 epochs" in err
    status, _, err = train("later", "--targets", store)
    assert status == 0, err
    assert "learning from 2 epochs of targets stored" in err
    first, again = (load_weights(tmp_path / name)[0] for name in ("stored", "later"))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    for flags, message in (
        (("--seed", 1), "stored with another --seed"),
        (("--crop", 0.9), "--crop 1, --alignment none there, face, --crop 0.9"),
        (("--augment", "flip"), "stored with another --augment"),
        (("--dim", 9), "stored with another"),
        (("--teacher", tmp_path / "stored"), "stored with another teacher"),
    ):
        status, _, err = train("refused", "--targets", store, *flags)
        assert status == 2
        assert message in err


def small_lfw(real_data: Path, root: Path, each: int) -> FaceData:
    """The first pairs of each of LFW's folds, linked into a folder of their own."""
    source = real_data / "lfw"
    lines = (source / "pairs.txt").read_text().splitlines()
    chosen = [f"10\t{each}"]
    for fold in range(10):
        for start in (1 + fold * 600, 1 + fold * 600 + 300):
            chosen += lines[start : start + each]
    root.mkdir()
    (root / "pairs.txt").write_text("\n".join(chosen))
    for line in chosen[1:]:
        words = line.split()
        for name in {words[0], words[-2] if len(words) == 4 else words[0]}:
            if not (root / name).exists():
                (root / name).symlink_to(source / name)
    return read_lfw(root)


@pytest.mark.slow
def test_the_real_mobilefacenet_on_lfw(real_data: Path, tmp_path: Path) -> None:
    """On all 6,000 pairs 98 %; here 10 of each fold, faces cut out of the middle 112 pixels."""
    data = small_lfw(real_data, tmp_path / "lfw", 5)
    assert data.pairs is not None
    evaluator = FaceEvaluator(data.labels, data.pairs)
    network = MobileFaceNet()
    used = np.arange(len(data))
    for ids in np.array_split(used, 8):
        faces = np.stack([data.image(k)[16:128, 16:128] for k in ids.tolist()])
        with torch.inference_mode():
            embeddings = network(torch.from_numpy(faces).permute(0, 3, 1, 2))
        evaluator.update(ids.tolist(), [{"embedding": row} for row in embeddings.numpy()])
    metrics = evaluator.compute()["metrics"]
    assert metrics["accuracy"] >= 0.94
    assert metrics["auc"] > 0.97


def assert_module_teaches(tool: Tool, data: Path, out: Path) -> None:
    """The teacher that is a Python function is learnt from, and named in the card."""
    args = ("--epochs", 1, "--dim", 128, "--crop", 0.778, "--alignment", "funneled")
    taught = (*args, "--teacher", "tests.tasks.ncnn:teacher")
    status, _, err = tool("train_embed", "--data", data, "--out", out, *SMALL, *taught)
    assert status == 0, err
    card = read_card(out)
    assert card.model["alignment"] == "funneled"
    assert card.flavour.input.crop == 0.778
    assert "taught by tests.tasks.ncnn:teacher," in card.source


@pytest.mark.slow
def test_a_student_of_a_teacher_from_a_module(
    people: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on drawn people, with a small random network in the real one's files."""
    (tmp_path / "weights").mkdir()
    write_ncnn(tmp_path / "weights" / "MobileFaceNet.param")
    monkeypatch.setenv("MOBILENETS_DATA", str(tmp_path))
    assert_module_teaches(tool, people / "val", tmp_path / "run")


@pytest.mark.slow
def test_a_student_of_the_real_teacher(
    real_data: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that the page names, on a few people; the tested fold's are left out."""
    monkeypatch.setenv("MOBILENETS_DATA", str(real_data))
    data = small_lfw(real_data, tmp_path / "lfw", 2)
    assert data.pairs is not None
    tested = np.isin(data.pairs.folds, (8, 9))
    out = {data.classes.names[data.labels[k]] for k in data.pairs.first[tested].tolist()}
    assert out
    assert_module_teaches(tool, tmp_path / "lfw", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--teacher", "m:f", "--objective", "triplet"),
            "--objective triplet does nothing beside",
        ),
        (("--data", "PEOPLE/train", "--fold", 3), "--fold 3: "),
        (("--crop", 2), "--crop 2.0 is not in (0, 1]"),
        (("--fold", 11, "--data", "PEOPLE/val"), "--fold 11: "),
        (("--detector", "none.onnx"), "--detector none.onnx: no such file"),
        (("--teacher", "timm:resnet18"), "timm:resnet18: classifies"),
        (("--temperature", 3), "temperature"),
        (("--data", "nowhere"), "nowhere: no such file or folder"),
        (
            ("--grid", "depth=8"),
            "--grid depth=8: write KEY=VALUE,VALUE with one of backbone, alpha",
        ),
    ],
)
def test_bad_flags(
    train: Train, people: Path, tmp_path: Path, flags: tuple[object, ...], message: str
) -> None:
    told = [str(flag).replace("PEOPLE", str(people)) for flag in flags]
    status, _, err = train("x", *told)
    assert status == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--targets", "t"), ("--targets=t",), ("--teacher", "t")])
def test_answers_alone_take_the_preset_for_them(
    tool: Tool, people: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    assert preset_taken(tool, monkeypatch, "train_embed", "--data", people, *flags) == "distill"


@pytest.mark.slow
def test_other_formats(train: Train, people: Path, tool: Tool, tmp_path: Path) -> None:
    """An archive to train on and a verification file to measure on, aligned as they are."""
    import pickle

    from tests.datasets.record_files import write_records

    photos = [sorted(p.glob("*.jpg")) for p in sorted((people / "train").iterdir())]
    write_records(tmp_path / "train.rec", [[f.read_bytes() for f in own] for own in photos])
    same = [True, False] * 20
    files = [
        file.read_bytes()
        for k, one in enumerate(same)
        for file in (photos[k % 40][0], photos[k % 40 if one else (k + 1) % 40][1])
    ]
    (tmp_path / "pairs.bin").write_bytes(pickle.dumps((files, same)))
    data = ("--data", tmp_path / "train.rec")
    status, _, err = train("run", *data, "--val", tmp_path / "pairs.bin")
    assert status == 0, err
    assert "does not state who its people are" in err
    assert read_card(tmp_path / "run").model["alignment"] == "five_points"
    status, _, err = tool("evaluate", tmp_path / "run", "--data", people, "--out", tmp_path / "e")
    assert status == 2
    assert "align them by --points or --detector" in err
    status, _, err = train("mixed", *data, "--val", people / "val")
    assert status == 2
    assert "faces stand as 'five_points', but those of" in err
    shutil.rmtree(tmp_path / "run")
