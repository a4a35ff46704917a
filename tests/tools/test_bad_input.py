"""What a user may get wrong: a clear message, exit status 2, no traceback, nothing lost.

Faults that are nobody's mistake (a full disk, a loss that is no number) exit with 1.
"""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import Tool
from tests.datasets.fakes import GOOD_BOXES, write_coco
from tests.tools.conftest import Finished
from tests.tools.mistakes import (
    card_of,
    cut,
    empty,
    expect,
    pickled,
    without_card,
)
from tests.tools.runs import SMALL

TWO = ("--framework", "faster_rcnn_300")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--framwork", "ssd300"], ["--framwork", "Perhaps you meant", "--framework"]),
        (["--alpha", "wide"], ["wide", "--alpha"]),
        (["--alpha", "0"], ["--alpha 0.0 must be above 0"]),
        (["--size", "16"], ["--size 16 is too small: 32 pixels or more"]),
        (["--framework", "ssd301"], ["ssd301", "ssd300"]),
        (["--preset", "fast"], ["--preset fast: ssd300 has auto, paper"]),
        (["--epochs", "0"], ["--epochs 0 must be 1 or more"]),
        (["--lr", "-1"], ["--lr -1.0 must be above 0"]),
        (["--batch-size", "1"], ["--batch-size 1", "--freeze-bn"]),
        (["--threads", "-2"], ["--threads -2 must be 0 or more"]),
        (["--score-threshold", "2"], ["--score-threshold 2.0 is not in [0, 1]"]),
        (["--device", "mps"], ["--device mps: not on this machine; there is"]),
        (["--data", "nowhere"], ["nowhere: no such file or folder"]),
        (["--weights", "nowhere"], ["nowhere: no such weights file or run folder"]),
        (["--framework", "faster_rcnn"], ["--framework faster_rcnn: choose one of ssd300"]),
        (["--preset", "focal", *TWO], ["--preset focal: faster_rcnn_300 has auto, paper"]),
        (["--proposals", "10"], ["--proposals 10: SSD has no second stage"]),
        (["--roi-pool"], ["--roi-pool: SSD has no second stage"]),
        (["--rpn-samples", "10"], ["--rpn-samples 10: ssd300 has no such loss"]),
        (["--focal-gamma", "1", *TWO], ["--focal-gamma 1.0: faster_rcnn_300 has no such"]),
        (["--head", "ssdlite", *TWO], ["--head ssdlite: only SSD"]),
        (["--proposals", "0", *TWO], ["--proposals 0 is not in 1"]),
        (["--box-samples", "1", *TWO], ["--box-samples 1 must be 2 or more"]),
        (["--backbone", "vgg16", "--alpha", ".5"], ["--alpha 0.5: vgg16 has one width only"]),
        (["--backbone", "resnet"], ["resnet", "--backbone", "vgg16"]),
        (["--resume", "nowhere"], ["--resume nowhere: no config.json there"]),
    ],
)
def test_flags(refused_at_once: Callable[..., None], flags: list[str], parts: list[str]) -> None:
    refused_at_once("train_det", flags, parts)


def pictures_only(data: Path) -> None:
    shutil.rmtree(data / "annotations")


def cut_json(data: Path) -> None:
    file = data / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text()[:-40])


def no_validation(data: Path) -> None:
    (data / "annotations" / "instances_val2017.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": []})
    )


def lost_pictures(data: Path) -> None:
    shutil.rmtree(data / "train2017")


def unit_boxes(data: Path) -> None:
    file = data / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    for row in content["annotations"]:
        row["bbox"] = [0.1, 0.1, 0.5, 0.5]
    file.write_text(json.dumps(content))


def strange_box(data: Path) -> None:
    file = data / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][1]["bbox"] = [1, 2, "wide"]
    file.write_text(json.dumps(content))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (empty, ["COCO", "VOC", "YOLO"]),
        (pictures_only, ["COCO", "VOC", "YOLO"]),
        (cut_json, ["instances_train2017.json", "not valid JSON"]),
        (no_validation, ["val data:", "no images: the annotations list none"]),
        (lost_pictures, ["missing", "Is it the right folder?"]),
        (unit_boxes, ["normalised"]),
        (strange_box, ["annotations[1].bbox", "four numbers x, y, width, height are needed"]),
    ],
)
def test_data(
    tool: Tool, tmp_path: Path, damage: Callable[[Path], None], parts: list[str]
) -> None:
    data = write_coco(tmp_path / "set", GOOD_BOXES)
    damage(data)
    out = tmp_path / "run"
    expect(tool("train_det", "--data", data, "--out", out, *SMALL, "--epochs", 1), *parts)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (cut, ["not a whole safetensors file"]),
        (pickled, ["not a whole safetensors file", "tools/import_weights.py"]),
        (without_card, ["carry no card", "tools/import_weights.py"]),
        (card_of(lambda card: card.update(task="gan")), ["is for 'gan', which is none of"]),
        (card_of(lambda card: card.update(format=9)), ["card of format 9; this version reads 2"]),
        (card_of(lambda card: card["model"].update(alpha=0.5)), ["another width"]),  # type: ignore[attr-defined]
        (card_of(lambda card: card["model"].update(wings=2)), ["cannot be built", "wings"]),  # type: ignore[attr-defined]
    ],
)
def test_weights(
    detector: Path,
    tool: Tool,
    tmp_path: Path,
    scenes: Path,
    damage: Callable[[Path], None],
    parts: list[str],
) -> None:
    file = tmp_path / "model.safetensors"
    shutil.copy(detector / "model.safetensors", file)
    damage(file)
    expect(tool("evaluate", file, "--data", scenes, "--out", tmp_path / "out"), str(file), *parts)
    expect(tool("predict", file, scenes / "val", "--out", tmp_path / "out"), str(file), *parts)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_weights_for_another_width(
    detector: Path, tool: Tool, scenes: Path, tmp_path: Path
) -> None:
    args = (
        "--data",
        scenes,
        "--weights",
        detector,
        "--alpha",
        0.5,
        "--out",
        tmp_path / "r",
    )
    expect(tool("train_det", *args), "have alpha 0.25, the model to train 0.5")


@pytest.mark.slow
def test_data_of_other_classes(detector: Path, tool: Tool, tmp_path: Path) -> None:
    data = write_coco(tmp_path / "set", GOOD_BOXES)
    expect(tool("evaluate", detector, "--data", data), "no class name in common", "cat")


@pytest.mark.slow
def test_a_cut_checkpoint(finished: Finished, tool: Tool, tmp_path: Path) -> None:
    """The weights of the run so far stay, and the message says where."""
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    cut(run / "last.ckpt")
    before = (run / "model.safetensors").read_bytes()
    expect(
        tool("train_det", "--resume", run, "--workers", 0),
        f"{run / 'last.ckpt'}: damaged checkpoint",
        "model.safetensors beside it",
    )
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_checkpoint_with_code(finished: Finished, tool: Tool, tmp_path: Path) -> None:
    """It is refused, and the code does not run."""
    run, mark = tmp_path / "run", tmp_path / "mark"
    shutil.copytree(finished.folder, run)

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(mark),)  # type: ignore[return-value]

    torch.save({"state_dict": Attack()}, run / "last.ckpt")
    expect(tool("train_det", "--resume", run, "--workers", 0), "last.ckpt", "damaged checkpoint")
    assert not mark.exists()


@pytest.mark.slow
def test_a_full_disk(
    finished: Finished, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot save stops with status 1; the last good checkpoint is still whole."""
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    config = json.loads((run / "config.json").read_text())
    config["fit"]["epochs"] = 5
    (run / "config.json").write_text(json.dumps(config))
    before = (run / "last.ckpt").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(run / "last.ckpt"))

    monkeypatch.setattr("tasks.fitting.checkpoint.torch.save", full)
    answer = tool("train_det", "--resume", run, "--workers", 0)
    expect(answer, "last.ckpt: No space left on device", status=1)
    assert (run / "last.ckpt").read_bytes() == before
    assert not list(run.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["nothing.jpg", "--batch-size", "0"], ["--batch-size 0 must be 1 or more"]),
        (["nothing.jpg"], ["nothing.jpg: no such file or folder"]),
        ([], ["no PATH given"]),
        (["empty"], ["empty: no images there"]),
        (["notes.txt"], ["notes.txt", "none of the files could be read"]),
        (["film.mp4"], ["film.mp4: not a video that can be read"]),
    ],
)
def test_media(
    detector: Path,
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("no image")
    Path("film.mp4").write_text("no film")
    expect(tool("predict", detector, *args), *parts)


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("ssd.pb", b"x", ["ssd.pb: damaged TensorFlow graph"]),
        ("ssd.weights", b"x", ["unknown kind of weights '.weights'"]),
        ("none.tflite", None, ["none.tflite: no such file"]),
        ("text.tflite", b"no model at all", ["text.tflite: not a TensorFlow Lite file"]),
        ("cut.tflite", b"\x1c\0\0\0TFL3" + bytes(8), ["cut.tflite: damaged TensorFlow Lite file"]),
    ],
)
def test_files_to_import(
    tool: Tool, tmp_path: Path, name: str, content: bytes | None, parts: list[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    expect(tool("import_weights", tmp_path / name, "--out", tmp_path / "out"), *parts)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_original_has_no_proposals(
    tool: Tool, tmp_path: Path, scenes: Path, ssd_tflite: Path
) -> None:
    args = ("--data", scenes, "--proposals", 5, "--out", tmp_path / "out")
    expect(tool("evaluate", ssd_tflite, *args), "--proposals 5", "no second stage")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_too_few_labels(tool: Tool, tmp_path: Path, ssd_tflite: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    args = ("--labels", tmp_path / "labels.txt", "--out", tmp_path / "out")
    expect(tool("import_weights", ssd_tflite, *args), "90 class columns, but 2 class names")
