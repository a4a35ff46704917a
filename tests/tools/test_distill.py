"""Distillation through the real tool: live and stored teachers, resume, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.classification import DEMO_CLS, TrainCls
from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.labels.augmentation import LabelTransform
from datasets.labels.opening import open_labelled
from datasets.shards.writing import write_shards
from tasks.body_spec import ClassifierSpec
from tasks.classification.application import CLASSIFICATION
from tasks.classification.model import Classifier
from tasks.classification.spec import TASK
from tasks.classification.teachers import open_teacher
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TeacherTargets
from tasks.distillation.targets import TargetStore
from tasks.distillation.teacher import Teacher
from tasks.predictor import open_network
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tools.runs import assert_same_run
from tests.tools.stopping import stop_at
from tools.classification.data import open_data
from tools.flows.photo_loaders import training_loader
from tools.flows.teacher_targets import open_target_source

SMALL = ("--preset", "demo", "--size", 32, "--batch-size", 16, "--epochs", 2, "--workers", 0)
Train = Callable[..., tuple[int, str, str]]
Losses = dict[str, Tensor]


@pytest.fixture
def train(tool: Tool, shapes: Path, tmp_path: Path) -> Train:
    """Train on the shapes into a folder below ``tmp_path``, without a page: it takes as long."""
    return lambda out, *args: tool(
        "train_cls", "--data", shapes, "--out", tmp_path / out, *SMALL, *args, report=False
    )


@pytest.fixture
def teacher(shapes: Path, tmp_path: Path) -> Path:
    """A run folder's weights, random, but with answers that tell the shapes apart."""
    torch.manual_seed(1)
    data, transform = open_labelled(shapes, "train"), LabelTransform(48, "none")
    spec, classes = ClassifierSpec(alpha=0.1, size=48), data.classes
    model = Classifier(spec, len(classes))
    nn.init.normal_(model.get_parameter("head.2.weight"), std=0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    pictures = np.stack([transform(data.image(k), 0) for k in range(len(data))])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    with torch.no_grad():
        model.train().raw(images)  # Sets the statistics.
        logs = model.eval()(images).log_softmax(1)
    assert (logs - logs.roll(1, 0)).abs().amax(1).min() > 0.5
    card = Card(TASK, spec.to_json(), model.body.flavour, classes)
    save_weights(tmp_path / "teacher" / "model.safetensors", model.state_dict(), card)
    return tmp_path / "teacher"


def train_on(teacher: Path, folder: Path) -> Path:
    """A teacher with one number changed."""
    state, card = load_weights(teacher)
    next(iter(state.values())).view(-1)[0] += 1e-3
    save_weights(folder / "model.safetensors", state, card)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
def test_a_resumed_student_is_the_same(
    train: Train, tool: Tool, teacher: Path, tmp_path: Path, stored: bool
) -> None:
    """Nothing of the teacher is in weights, averages or checkpoint, but its fingerprint."""
    frozen = (teacher / "model.safetensors").read_bytes()
    args: tuple[object, ...] = ("--teacher", teacher, "--save-minutes", 1e-6)  # Each step.
    args += ("--targets", tmp_path / "t") if stored else ("--mixup", 0.2)
    assert train("straight", *args)[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_at(4, patch)
        assert train("stopped", *args)[0] == 1
    assert tool("train_cls", "--resume", tmp_path / "stopped", report=False)[0] == 0
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")
    checkpoint = torch.load(tmp_path / "straight" / "last.ckpt")
    state, card = load_weights(tmp_path / "straight")
    own = {f"model.{name}" for name in Classifier(ClassifierSpec(size=32), 8).state_dict()}
    assert own == {f"model.{name}" for name in state}
    assert own == checkpoint["state_dict"].keys()
    assert own == checkpoint["current_model_state"].keys()
    assert len(checkpoint["teacher"]) == 64
    assert f"from scratch, taught by {teacher}, on" in card.source
    assert (teacher / "model.safetensors").read_bytes() == frozen


@pytest.mark.slow
def test_another_teacher_on_resume_is_refused(
    train: Train, tool: Tool, teacher: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at(4, patch)
        assert train("stopped", "--teacher", teacher)[0] == 1
    train_on(teacher, teacher)
    status, _, err = tool("train_cls", "--resume", tmp_path / "stopped")
    assert status == 2
    assert f"--teacher {teacher} has other weights than when the run began" in err


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_stored_answers_are_the_live_ones(
    shapes: Path, teacher: Path, tmp_path: Path, sharded: bool
) -> None:
    """For every picture of every epoch, in the shuffled order of the training."""
    if sharded:
        shapes = write_shards(open_labelled(shapes, "train"), tmp_path / "train", per_shard=10)
    spec = DistillSpec(teacher=str(teacher), targets=tmp_path / "t", top_k=8)
    config = replace(
        DEMO_CLS,
        data=shapes,
        distill=spec,
        model=replace(DEMO_CLS.model, size=32),
        fit=replace(DEMO_CLS.fit, epochs=2, batch_size=20, precision="fp32"),
        workers=0,
    )
    data = open_data(shapes, "train", None)
    target_source = open_target_source(config, data, "cpu", find=open_teacher)
    assert target_source is not None
    live = open_teacher(spec, data.classes)
    loader = training_loader(config, data, 0)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        seen = list(loader)
        assert len(seen) == 2
        for batch in seen:
            stored = target_source.teacher_targets(epoch, batch["image_ids"]).answers(
                batch["images"]
            )
            wanted = live(batch["images"]).log_softmax(1)
            torch.testing.assert_close(stored, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_second_student_needs_no_teacher(
    train: Train, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ("--targets", tmp_path / "t")
    live = open_network(teacher, CLASSIFICATION)[0]
    join, differences = TeacherTargets.join, []

    def compare(self: TeacherTargets, losses: Losses, images: Tensor, logits: Tensor) -> Losses:
        wide = functional.interpolate(images.float(), size=48, mode="bilinear", antialias=True)
        with torch.no_grad():
            difference = self.answers(images) - live(wide).float().log_softmax(1)
        differences.append(float(difference.abs().max()))
        return join(self, losses, images, logits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TeacherTargets, "join", compare)
        assert train("one", "--teacher", teacher, *store, "--precision", "fp32")[0] == 0
    assert len(differences) == 6
    assert max(differences) < 0.02  # Of log probabilities of 5 and more, at half precision.
    monkeypatch.setattr(Teacher, "__call__", lambda *_: pytest.fail("the teacher was run"))
    (teacher / "model.safetensors").unlink()
    status, _, err = train("two", *store, "--alpha", 0.1, "--temperature", 2)
    assert status == 0, err
    assert "learning from 2 epochs of targets stored in" in err
    assert f"taught by {teacher}" in read_card(tmp_path / "two").source
    status, _, err = train("three", *store, "--epochs", 3)
    assert status == 2
    assert "holds no targets of epoch 2 of 3; name the --teacher" in err
    assert not (tmp_path / "three").exists()


@pytest.mark.slow
def test_storing_goes_on(
    train: Train, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--teacher", teacher, "--targets", tmp_path / "t")
    write = TargetStore.write

    def stop(self: TargetStore, epoch: int, *rest: object) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        write(self, epoch, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TargetStore, "write", stop)
        assert train("run", *args)[0] == 1
    names = ["00000-00000.npy", "targets.json"]
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == names
    monkeypatch.setattr("tools.flows.teacher_targets.rank_and_world", lambda: (0, 2))
    status, _, err = train("run", *args)
    assert status == 2
    assert "targets are stored by one process" in err
    monkeypatch.undo()
    before = (tmp_path / "t" / names[0]).stat().st_mtime_ns
    status, _, err = train("run", *args, "--epochs", 3)
    assert status == 0, err
    assert (tmp_path / "t" / names[0]).stat().st_mtime_ns == before
    assert len(list((tmp_path / "t").glob("*.npy"))) == 3


@pytest.mark.slow
def test_what_changed_is_refused(train: Train, teacher: Path, tmp_path: Path) -> None:
    store = ("--targets", tmp_path / "t")
    assert train("one", "--teacher", teacher, *store, "--epochs", 1)[0] == 0
    other = train_on(teacher, tmp_path / "other")
    for flags, message in (
        (("--teacher", other), f"stored with another teacher: {teacher} ("),
        (("--seed", 5), "stored with another --seed: 0 there, 5 in this run"),
        (("--size", 48), "stored with another --size: 32 there, 48 in this run"),
        (("--augment", "mild"), "stored with another --augment: small there, mild in this run"),
        (("--interpolation", "bicubic"), "stored with another --interpolation: bilinear there"),
        (("--top-k", 3), "stored with another --top-k: 50 there, 3 in this run"),
        (("--mixup", 0.2), "and --mixup 0.2 changes them; add --mixup 0, or leave --targets out"),
        (("--progressive", 0.5), "--progressive 0.5 changes them; add --progressive 1"),
    ):
        status, _, err = train("two", *store, "--epochs", 1, *flags)
        assert status == 2
        assert message in " ".join(err.replace("│", " ").split())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.labels.torch_set.draw_seed", lambda *draw: sum(draw) + 9)
        status, _, err = train("two", *store, "--epochs", 1)
    assert status == 2
    assert "stored of other images: images, augmentation or its library have changed" in err
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
def test_data_that_changed_is_refused(tool: Tool, teacher: Path, tmp_path: Path) -> None:
    own = draw_shapes(tmp_path / "own", num_train=6, num_val=2, size=32)
    args = ("--data", own, *SMALL, "--epochs", 1, "--targets", tmp_path / "t")
    status, _, err = tool("train_cls", *args, "--out", tmp_path / "a", "--teacher", teacher)
    assert status == 0, err
    photo = next(p for p in sorted((own / "train").rglob("*.*")) if p.is_file())
    photo.rename(photo.with_stem("renamed"))
    status, _, err = tool("train_cls", *args, "--out", tmp_path / "b")
    assert status == 2
    assert "stored with another training data:" in err


@pytest.mark.slow
def test_a_grid_shares_what_can_be_shared(
    train: Train, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    answer = Teacher.__call__

    def count(self: Teacher, images: Tensor) -> Tensor:
        calls.append(len(images))
        return answer(self, images)

    monkeypatch.setattr(Teacher, "__call__", count)
    grid = ("--grid", "width=.25,.1", "--epochs", 1)
    args = ("--teacher", teacher, "--targets", tmp_path / "t", *grid)
    status, _, err = train("grid", *args)
    assert status == 0, err
    assert len(json.loads((tmp_path / "grid" / "grid.json").read_text())) == 2
    assert [p.name for p in (tmp_path / "t").iterdir()] == ["32-seed0"]
    assert sum(calls) == 48


@pytest.mark.slow
def test_any_python_teaches(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = "def teach(x):\n    return x.float().mean((2, 3)).repeat(1, 3)[:, :8]\n"
    Path("plain_teacher.py").write_text(text)
    store = ("--targets", tmp_path / "t", "--epochs", 1)
    status, _, err = train("one", "--teacher", "plain_teacher:teach", *store)
    assert status == 0, err
    Path("sharper_teacher.py").write_text(text.replace("x.float()", "2 * x.float()"))
    status, _, err = train("two", "--teacher", "sharper_teacher:teach", *store)
    assert status == 2
    assert "another teacher: plain_teacher:teach (answers" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--teacher", "nowhere"), "--teacher nowhere: no such run folder or weights file"),
        (("--temperature", 2), "--temperature 2.0 does nothing without --teacher or --targets"),
        (("--teacher", "x", "--temperature", 0), "--temperature 0.0 must be above 0"),
        (("--teacher", "x", "--distill-weight", 2), "--distill-weight 2.0 is not in (0, 1]"),
        (("--targets", "nowhere"), "nowhere: no stored targets there; name the --teacher"),
    ],
)
def test_bad_flags(train: Train, tmp_path: Path, flags: tuple[object, ...], message: str) -> None:
    status, _, err = train("x", *flags)
    assert status == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "x").exists()


def test_configurations_come_back() -> None:
    from configs.io import from_json, to_json

    spec = DistillSpec(teacher="timm:x", teacher_weights=Path("w"), targets=Path("t"))
    config = replace(DEMO_CLS, grid=(), data=Path("d"), val=Path("v"), distill=spec)
    assert from_json(TrainCls, json.loads(json.dumps(to_json(config)))) == config
