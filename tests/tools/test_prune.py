"""Pruning a run to a weights file, fine-tuning that, and the experiment."""

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.classification import SMALL, TrainCls
from configs.deploy import Export
from configs.prune import Prune
from datasets.images import find_images
from datasets.labels.opening import open_labelled
from tasks.body_spec import ClassifierSpec
from tasks.classification.application import CLASSIFICATION
from tasks.classification.model import Classifier
from tasks.classification.task import ClassificationTask
from tasks.distillation.spec import DistillSpec
from tasks.predictor import open_network
from tasks.runtime.open import read_card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.runs import run_main
from tools.flows.exporting import write_export
from tools.flows.quantising import write_int8
from tools.flows.source import Source
from tools.pruning.experiment import ARMS, arm_run, calibration_photos

NARROW = 0.125
FLAGS = "--preset demo --variant shallow --alpha .25 --size 32 --batch-size 8 --epochs 1"
TRAIN = (*FLAGS.split(), "--workers", 0)


@pytest.fixture(scope="module")
def shapes(shapes: Path) -> Path:
    """The same, beside a list of three of its classes."""
    (shapes.parent / "three.txt").write_text("star\nring\ncross\n")
    return shapes


@pytest.fixture(scope="module")
def wide(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the wide network, on three of the classes."""
    folder = tmp_path_factory.mktemp("runs") / "wide"
    args = ("--data", shapes, "--classes", shapes.parent / "three.txt", "--out", folder, *TRAIN)
    run_main("train_cls", *args)
    return folder


@pytest.mark.slow
def test_the_file_is_fine_tuned_and_taught(
    wide: Path, shapes: Path, tool: Tool, tmp_path: Path
) -> None:
    out = tmp_path / "narrow.safetensors"
    status, text, err = tool("prune", wide, "--alpha", NARROW, "--out", out)
    assert status == 0, err
    assert f"tools/train_cls.py --data PATH --weights {out} --teacher {wide}" in text
    model, card = open_network(out, CLASSIFICATION)
    assert (model.spec.alpha, model.spec.variant) == (NARROW, "shallow")
    assert card.metrics == {}, "nobody has measured it"
    assert "pruned from alpha 0.25 by tools/prune.py" in card.source
    args = ("--weights", out, "--teacher", wide, "--epochs", 1, "--batch-size", 8, "--workers", 0)
    run = tmp_path / "run"
    status, _, err = tool(
        "train_cls",
        "--data",
        shapes,
        "--classes",
        shapes.parent / "three.txt",
        *args,
        "--out",
        run,
    )
    assert status == 0, err
    assert "3 classes known, 0 start anew" in err
    assert read_card(run).model == card.model


@pytest.mark.slow
def test_photos_measure_batch_norm_anew(
    wide: Path, shapes: Path, tool: Tool, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("computed.safetensors", "measured.safetensors")]
    for file, more in zip(files, ((), ("--data", shapes)), strict=True):
        status, text, err = tool("prune", wide, "--alpha", NARROW, "--out", file, *more, "--json")
        assert status == 0, err
    told = json.loads(text)
    assert told["after"]["params"] < told["before"]["params"]
    assert set(told["energy_kept"]) == {f"conv{k}" for k in range(9)}
    one, two = (load_weights(file)[0] for file in files)
    changed = {name.rpartition(".")[2] for name in one if not torch.equal(one[name], two[name])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("RUN", "--alpha", 0.5),
            "RUN: --alpha 0.5: wider than the network to prune, which has 0.25",
        ),
        (("RUN", "--alpha", -1), "--alpha -1.0 must be above 0"),
        (("RUN", "--epochs", 3), "--epochs 3: is for --experiment, which was not given"),
        (("RUN", "--classes", "x"), "--classes x: goes with --data"),
        (("RUN", "--out", "x.bin"), "--out x.bin: a weights file ends in .safetensors"),
        (("FILE", "--out", "FILE"), "--out FILE: would overwrite the source"),
        ((), "nothing to prune: name a run folder or a weights file"),
        (("FILE", "--experiment"), "FILE: --experiment takes data and recipe from the run"),
        (("RUN", "--experiment", "--seeds", 0), "--seeds 0 must be 1 or more"),
    ],
)
def test_bad_flags(wide: Path, tool: Tool, args: tuple[Any, ...], message: str) -> None:
    known = {"RUN": wide, "FILE": wide / "model.safetensors"}
    status, _, err = tool("prune", *(known.get(arg, arg) for arg in args))
    assert status == 2
    for name, path in known.items():
        message = message.replace(name, str(path))
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_what_is_no_mobilenet_classifier(
    wide: Path, exports: Exports, tool: Tool, tmp_path: Path
) -> None:
    card, file = read_card(wide), tmp_path / "squeezenet.safetensors"
    spec = ClassifierSpec("squeezenet", size=64)
    model = Classifier(spec, 3)
    seen = replace(model.body.flavour, input=replace(model.body.flavour.input, size=64))
    save_weights(file, model.state_dict(), replace(card, model=spec.to_json(), flavour=seen))
    folded = tmp_path / "folded.safetensors"
    state, _ = load_weights(wide)
    save_weights(folded, state, replace(card, folded=True))
    for path, message in (
        (file, "squeezenet has no widths; only mobilenet_v1 has"),
        (folded, "its source had folded batch norm away"),
        (tmp_path / "model.onnx", "is an export; name the weights it came from"),
        (exports.source("ssd").file, "these weights are for detection, not for classification"),
    ):
        status, _, err = tool("prune", path, "--alpha", 0.1)
        assert status == 2
        assert f"{path}: {message}" in err


def test_arms_differ_in_start_and_teacher_alone(tmp_path: Path) -> None:
    config = Prune(tmp_path / "wide", alpha=0.5, experiment=True, epochs=7)
    tuned = replace(SMALL, fit=replace(SMALL.fit, frozen_epochs=1, layer_decay=0.5))
    runs = [arm_run(config, tuned, arm, 3, tmp_path) for arm in ARMS]
    cut = tmp_path / "pruned-untrained"
    assert [run.weights for run in runs] == [None, None, cut, cut]
    teachers = [None, str(config.weights)] * 2
    assert [run.distill.teacher for run in runs] == teachers
    assert {run.distill.targets for run in runs} == {None}, "mixup changes the images"
    plain = [replace(run, weights=None, distill=DistillSpec()) for run in runs]
    assert plain == [plain[0]] * 4
    assert plain[0].model == replace(SMALL.model, alpha=0.5)
    fit = plain[0].fit
    assert (fit.epochs, fit.eval_every, fit.frozen_epochs, fit.layer_decay) == (7, 7, 0, 1)
    stored = arm_run(config, TrainCls(), ARMS[1], 3, tmp_path)
    assert stored.distill.targets == tmp_path / "targets-seed3"


@pytest.mark.slow
def test_ranges_are_measured_on_training_photos(shapes: Path) -> None:
    train = open_labelled(shapes, "train")
    with calibration_photos(train) as folder:
        files = find_images(folder)
        assert [int(file.stem) for file in files] == list(range(len(train)))
    assert not folder.exists()


def quick_export(args: Export, source: Source, out: Path) -> Any:
    """A true export of the wide network, which then stands for the others."""
    if out.parent.name == "wide":
        return write_export(args, source, out)
    return shutil.copy(out.parent.parent / "wide" / out.name, out)


def quick_int8(args: Export, source: Source, float_file: Path, recipes: Any) -> Any:
    """The wide network truly goes to 8 bits; of the others the float file stands for it."""
    assert args.labelled is None, "held-out images choose nothing"
    if float_file.parent.name == "wide":
        return write_int8(args, source, float_file, recipes)
    return shutil.copy(float_file, args.out_file())


@pytest.mark.slow
def test_the_experiment_goes_on_with_what_is_finished(
    wide: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.pruning.experiment.write_export", quick_export)
    monkeypatch.setattr("tools.pruning.experiment.write_int8", quick_int8)
    monkeypatch.setattr("tools.pruning.experiment._CALIBRATION", 10)
    folder = tmp_path / "experiment"
    inner = ClassificationTask.on_train_batch_start

    def interrupt(self: ClassificationTask, batch: Any, batch_idx: int) -> None:
        if (folder / "distilled-seed0" / "answers.json").exists() and self.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        inner(self, batch, batch_idx)

    args = ("--alpha", NARROW, "--experiment", "--epochs", 1, "--seeds", 1, "--workers", 0)
    with monkeypatch.context() as patch:
        patch.setattr(ClassificationTask, "on_train_batch_start", interrupt)
        status, _, err = tool("prune", wide, *args, "--out", folder)
    assert status == 1
    stopped = folder / "pruned-seed0" / "last.ckpt"
    assert f"stopped and saved to {stopped}; go on with --resume {folder}" in err
    done = sorted(folder.glob("*/answers.json"))
    assert len(done) == 4
    before = [file.stat().st_mtime_ns for file in done]
    status, text, err = tool("prune", "--resume", folder)
    assert status == 0, err
    assert [file.stat().st_mtime_ns for file in done] == before
    check_report(folder, text)


def check_report(folder: Path, text: str) -> None:
    """All networks at one cost, in both precisions, measured on the same photos."""
    report = json.loads((folder / "report.json").read_text())
    rows = {row["network"]: row for row in report["rows"]}
    assert list(rows) == ["wide", "pruned-untrained", *(arm.name for arm in ARMS)]
    assert report["photos"] == 9
    costs = {name: (row["mult_adds"], row["params"]) for name, row in rows.items()}
    assert len(set(costs.values())) == 2, "all but the wide one cost the same"
    assert rows["scratch"]["gain"]["mean"] == 0
    wide = rows["wide"]
    assert wide["int8"]["bytes"] < wide["float"]["bytes"]
    for name, row in rows.items():
        answers = json.loads(next(folder.glob(f"{name}*/answers.json")).read_text())["files"]
        assert row["float"]["top1"] == pytest.approx(sum(answers[0]["right"]) / 9)
        assert name in text
    card = read_card(folder / "pruned+distilled-seed0")
    assert f"from {folder / 'pruned-untrained'}" in card.source
    assert "taught by" in card.source
    assert (folder / "targets-seed0" / "targets.json").exists()
    page = re.sub('base64,[^"]*', "", (folder / "report.html").read_text())
    assert "pruned+distilled" in page
    assert (folder / "report.png").stat().st_size > 10_000
    assert not list(folder.glob(".*")), "temporary files were left"
