"""``tools/export.py`` for phones' runtimes, and what it writes where the other tools take it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.images import save_image
from tasks.runtime.open import open_export
from tests.conftest import Tool
from tests.exports import Exports, photos

pytestmark = pytest.mark.slow

TARGETS = (("executorch", "executorch", ".pte"), ("coreml", "coremltools", ".mlpackage"))


@pytest.mark.parametrize(("target", "package", "suffix"), TARGETS)
def test_written_checked_and_used(
    exports: Exports, tool: Tool, tmp_path: Path, target: str, package: str, suffix: str
) -> None:
    pytest.importorskip(package)
    file, out = tmp_path / "model.safetensors", tmp_path / f"model{suffix}"
    shutil.copy(exports.source("attributes").file, file)
    save_image(tmp_path / "photo.png", photos()[0])
    for _ in range(2):  # An older one makes room.
        status, text, err = tool("export", file, "--target", target, "--json")
        assert status == 0, err
    result = json.loads(text)
    assert result["bytes"] > 100_000
    assert max(result["checked"]["differences"].values()) < 1e-4
    assert {one.name for one in tmp_path.iterdir()} == {file.name, "photo.png", out.name}
    assert open_export(out).facts["checked"] == result["checked"]
    answers = []
    for weights in (file, out):
        status, text, err = tool("predict", weights, tmp_path / "photo.png", "--json")
        assert status == 0, err
        answers.append(json.loads(text))
    one, other = (json.dumps(answer) for answer in answers)
    assert np.isclose(numbers_in(one), numbers_in(other), atol=1e-3).all()


@pytest.mark.parametrize(("target", "package", "suffix"), TARGETS)
def test_what_it_cannot_do(
    exports: Exports, tool: Tool, tmp_path: Path, target: str, package: str, suffix: str
) -> None:
    pytest.importorskip(package)
    file = exports.source("attributes").file
    status, _, err = tool("export", file, "--target", target, "--batch", "dynamic")
    assert status == 2
    assert "takes one photo at a time" in err
    status, _, err = tool("export", file, "--target", target, "--out", tmp_path / "model.onnx")
    assert status == 2
    assert f"ends in {suffix}" in err
    if target == "coreml":
        status, _, err = tool(
            "export", file, "--target", target, "--int8", "--calibrate", tmp_path
        )
        assert status == 2
        assert "--int8: goes with --target" in err
    (tmp_path / f"broken{suffix}").mkdir() if target == "coreml" else (
        tmp_path / f"broken{suffix}"
    ).write_bytes(b"no program")
    status, _, err = tool("predict", tmp_path / f"broken{suffix}", tmp_path)
    assert status == 2
    assert f"broken{suffix}" in err


def numbers_in(text: str) -> list[float]:
    """All numbers of a JSON text, in their order."""
    found: list[float] = []
    json.loads(text, parse_float=lambda one: found.append(float(one)))
    return found
