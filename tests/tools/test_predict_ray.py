"""predict_ray.py: the rows of predict.py, with a process that is killed on the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.bench_ray import (
    command,
    draw_folder,
    rows_of_lines,
    rows_of_parquet,
    run_ray,
)
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.films import write_film
from tools.flows.signals import held, stoppable

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


def test_sigterm_leaves_nothing(exports: Exports, tmp_path: Path) -> None:
    """It is kept until Ray has started, whose start must not be interrupted."""
    (tmp_path / "images").mkdir()
    draw_folder(tmp_path / "images", 20)
    out = tmp_path / "out/rows"
    args = command("predict_ray", str(exports.file("ssd")), str(tmp_path / "images"))
    with subprocess.Popen([*args, "--out", str(out)], stderr=subprocess.PIPE) as process:
        while not any(out.parent.glob("*.tmp")):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 1
    assert err.endswith(b"error: interrupted\n")
    assert not list(out.parent.iterdir())


def test_signals_are_kept_until_the_block_ends() -> None:
    done: list[int] = []

    def work() -> None:
        with stoppable(), held():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
                os.kill(os.getpid(), number)
                done.append(number)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert len(done) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_ray_does_not_do(
    tool: Tool, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "film.avi", 1)
    (tmp_path / "link").symlink_to("nowhere")
    out = ("--out", tmp_path / "out")
    for args, message in (
        ((exports.file("ssd"), film, *out), "videos and streams are for predict.py"),
        ((exports.file("faces"), tmp_path, *out), "compares images with each other"),
        ((exports.file("ssd"), tmp_path, "--out", tmp_path), "is there already"),
        ((exports.file("ssd"), tmp_path, "--out", tmp_path / "link"), "is there already"),
    ):
        status, _, err = tool("predict_ray", *args)
        assert status == 2
        assert message in err
    draw_folder(tmp_path / "images", 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, err = tool("predict_ray", exports.file("ssd"), tmp_path / "images", *out)
    assert status == 2
    assert "pip install 'mobilenet-suite[ray]'" in err
