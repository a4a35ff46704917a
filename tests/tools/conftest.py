"""Run folders: one that was trained, for tests of what training leaves, and one that was not."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datasets.builtin.shapes_and_breeds import draw_shapes
from tests.backbone.tflite_files import write_classifier
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.mistakes import expect
from tests.tools.runs import SMALL, train, unchanged


@dataclass(frozen=True)
class Finished:
    """A run that ended well: its folder, and what it printed."""

    folder: Path
    result: dict[str, Any]
    errors: str


@pytest.fixture(scope="session")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A few epochs on the small scenes, with ``--json``; trained for whichever test asks first."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    recipe = ("--epochs", 3, "--eval-every", 2, "--workers", 0, "--json")
    done = train("--framework", "ssd300", "--data", scenes, "--out", folder, *SMALL, *recipe)
    assert done.returncode == 0, done.stderr
    with unchanged(folder):
        yield Finished(folder, json.loads(done.stdout), done.stderr)


@pytest.fixture
def detector(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the random weights of an SSD, which was never trained."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(exports.source("ssd").file, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session", params=["drawn", "real"])
def classifier_tflite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """TensorFlow's smallest classifier, and a random one of its width, which is always there."""
    if request.param == "real":
        real: Path = request.getfixturevalue("real_data")
        return real / "weights" / "mobilenet_v1_0.25_128_quant.tflite"
    file = tmp_path_factory.mktemp("drawn") / "classifier.tflite"
    write_classifier(file, columns=1001, alpha=0.25, size=128)
    return file


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few small drawings of each built-in shape."""
    root = tmp_path_factory.mktemp("sets") / "shapes"
    return draw_shapes(root, num_train=6, num_val=3, size=32)


@pytest.fixture
def refused_at_once(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Checks that a tool refuses flags, and writes nothing to the folder that it runs in."""

    def check(name: str, flags: list[str], parts: list[str]) -> None:
        monkeypatch.chdir(tmp_path)
        expect(tool(name, *flags), *parts)
        assert not list(tmp_path.iterdir()), "something was written before the flags were checked"

    return check
