"""``tools/export.py`` for phones: an older file or folder makes room, a broken one is told."""

import json
import shutil
from pathlib import Path

import pytest

from datasets.images import save_image
from tasks.runtime.open import open_export
from tests.conftest import Tool
from tests.exports import Exports, photos

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("target", "package", "suffix"),
    [("executorch", "executorch", ".pte"), ("coreml", "coremltools", ".mlpackage")],
)
def test_an_older_one_makes_room(
    exports: Exports, tool: Tool, tmp_path: Path, target: str, package: str, suffix: str
) -> None:
    pytest.importorskip(package)
    file, out = tmp_path / "model.safetensors", tmp_path / f"model{suffix}"
    shutil.copy(exports.source("attributes").file, file)
    for _ in range(2):
        status, text, err = tool("export", file, "--target", target, "--json")
        assert status == 0, err
    result = json.loads(text)
    assert {one.name for one in tmp_path.iterdir()} == {file.name, out.name}
    stored = [one for one in (out, *out.rglob("*")) if one.is_file()]
    assert result["bytes"] == sum(one.stat().st_size for one in stored) > 100_000
    assert open_export(out).facts["checked"] == result["checked"]


@pytest.mark.parametrize("suffix", [".onnx", ".pte", ".mlpackage", ".tflite"])
def test_a_broken_one_is_told(tool: Tool, tmp_path: Path, suffix: str) -> None:
    package = {".pte": "executorch", ".mlpackage": "coremltools"}.get(suffix)
    if package is not None:
        pytest.importorskip(package)
    save_image(tmp_path / "photo.png", photos()[0])
    broken = tmp_path / f"broken{suffix}"
    if suffix == ".mlpackage":
        broken.mkdir()
    else:
        broken.write_bytes(b"no program")
    status, _, err = tool("predict", broken, tmp_path / "photo.png", "--out", tmp_path / "found")
    assert status == 2
    assert broken.name in err
    assert "Traceback" not in err
    assert not (tmp_path / "found").exists()
