"""predict_ray.py: the rows of predict.py, with a process that is killed on the way."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.bench_ray import (
    draw_folder,
    rows_of_lines,
    rows_of_parquet,
    run_ray,
)
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.films import write_film

pytestmark = pytest.mark.slow


def test_a_killed_process_loses_and_doubles_nothing(
    tool: Tool, exports: Exports, tmp_path: Path
) -> None:
    draw_folder(tmp_path / "images", 200)
    flags = [str(exports.file("ssd")), str(tmp_path / "images"), "--batch-size", "2"]
    out = tmp_path / "one"
    status, _, err = tool("predict", *flags, "--format", "jsonl", "--no-draw", "--out", out)
    assert status == 0, err
    assert run_ray(flags, tmp_path / "ray", kill_after=1)
    found = rows_of_parquet(tmp_path / "ray")
    assert found == rows_of_lines(out)
    assert len(found) == 200
    assert "not an image" in found[str(tmp_path / "images/000/000050.jpg")]["error"]
    assert sorted(file.name for file in tmp_path.iterdir() if "ray" in file.name) == ["ray"]


def test_what_ray_does_not_do(
    tool: Tool, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "film.avi", 1)
    out = ("--out", tmp_path / "out")
    for args, message in (
        ((exports.file("ssd"), film, *out), "videos and streams are for predict.py"),
        ((exports.file("faces"), tmp_path, *out), "compares images with each other"),
        ((exports.file("ssd"), tmp_path, "--out", tmp_path), "is there already"),
    ):
        status, _, err = tool("predict_ray", *args)
        assert status == 2
        assert message in err
    draw_folder(tmp_path / "images", 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, err = tool("predict_ray", exports.file("ssd"), tmp_path / "images", *out)
    assert status == 2
    assert "pip install 'mobilenet-suite[ray]'" in err
