"""The programs of docs/python.md run as they stand there, on small models and drawn data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from datasets.images import save_image
from tests.exports import Exports, photos
from tests.house import ROOT

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the page calls the small models.
_RUNS = {"detector": "ssd", "places": "places", "attributes": "attributes", "faces": "faces"}
_TRAINS = "import evaluate, export, train"


def programs() -> list[str]:
    """The page's programs, in their order."""
    return _BLOCK.findall((ROOT / "docs/python.md").read_text(encoding="utf-8"))


@pytest.fixture
def place(exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder that holds what the page names; and the names that programs share."""
    monkeypatch.chdir(tmp_path)
    for run, kind in _RUNS.items():
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        shutil.copy(exports.source(kind).file, folder / "model.safetensors")
    files = ("street.jpg", "garden.jpg", "face.jpg", "portrait.jpg")
    for name, image in zip(files, photos(), strict=True):
        save_image(tmp_path / name, image)
    return {"files": [Path(name) for name in files]}


@pytest.mark.slow
def test_a_model_in_three_lines(
    place: dict[str, Any], exports: Exports, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(exports.file("classifier"), "classifier.onnx")
    short = programs()[: next(k for k, one in enumerate(programs()) if _TRAINS in one)]
    assert len(short) >= 7
    for program in short:
        exec(program, place)
    assert Path("street-boxes.jpg").exists()
    out = capsys.readouterr().out
    assert "(16,)" in out


@pytest.mark.slow
def test_training_and_a_plain_loop(
    place: dict[str, Any], scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("scenes").symlink_to(scenes)
    for name, image in zip(("rose", "lily"), photos()[:2], strict=True):
        Path("flowers", name).mkdir(parents=True)
        for number in range(12):
            save_image(Path("flowers", name, f"{number}.png"), image[number:])
    long = programs()[next(k for k, one in enumerate(programs()) if _TRAINS in one) :]
    assert len(long) == 4
    for program in long:
        exec(program, place)
    assert Path("runs/flowers/model.onnx").exists()
    assert Path("mine.safetensors").exists()
    assert "{2: (1, 32, 112, 112)" in capsys.readouterr().out
