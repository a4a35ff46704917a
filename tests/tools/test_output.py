"""What tools write where a disk is full or others write, and what they say of it."""

import errno
import json
import os
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from configs.classification import TrainCls
from configs.common import Common
from datasets.images import Image, read_image
from datasets.names import shown, shown_in
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.mistakes import expect
from tests.tools.runs import ROOT
from tools import cli
from tools.flows.naming import unnamed
from tools.flows.pictures import write_picture
from tools.flows.run_folder import CONFIG_NAME, save_config, sole_process

_FULL = OSError(errno.ENOSPC, "No space left on device")
_FILM = """
import resource, sys
import numpy as np
from pathlib import Path
from tools.flows.videos import VideoFile
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng = np.random.default_rng(0)
with VideoFile(Path(sys.argv[1]), 12.0) as film:
    for _ in range(60):
        film.write(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
"""
_TRAIN = """
import sys
from pathlib import Path
from tools.flows.run_folder import sole_process
with sole_process(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_cut_video_is_no_video(tmp_path: Path) -> None:
    """A disk that takes only its beginning: the older one stays, and the error names the file."""
    file = tmp_path / "film.mp4"
    file.write_bytes(b"older")
    for limit, whole in ((20_000, False), (10**9, True)):
        done = subprocess.run(
            [sys.executable, "-c", _FILM, str(file), str(limit)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert (done.returncode == 0) == whole, done.stderr
        assert (f"OSError: {file}: the video was cut" in done.stderr) != whole
        assert (file.read_bytes() == b"older") != whole
        assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("name", ["a.jpg", "b.PNG", "c" * 240 + ".jpg"])
def test_a_picture_comes_whole_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file, picture = tmp_path / name, np.full((8, 9, 3), 200, np.uint8)
    write_picture(file, picture)

    def cut(path: Path, _: Image) -> None:
        path.write_bytes(b"half a pic")
        raise _FULL

    monkeypatch.setattr("tools.flows.pictures.save_image", cut)
    with pytest.raises(OSError, match="No space left") as error:
        write_picture(file, picture)
    assert cli.explain(error.value) == (1, f"{file}: No space left on device")
    assert read_image(file, upright=True).shape == (8, 9, 3)
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_a_run_folder_has_one_process(tool: Tool, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    save_config(replace(TrainCls(), common=Common(out=folder)), folder)
    command = [sys.executable, "-c", _TRAIN, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        answer = tool("train_cls", "--resume", folder)
        process.kill()
    expect(answer, f"{folder}: another process is working there: process {process.pid} on")
    assert (folder / ".lock").exists()
    litter = folder / "heads" / f".a.safetensors.{2**22 + 1}.tmp"  # No process has this number.
    litter.parent.mkdir()
    litter.touch()
    with sole_process(folder):
        assert not litter.exists()
    assert sorted(one.name for one in folder.iterdir()) == [CONFIG_NAME, "heads"]


def test_a_refused_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), sole_process(tmp_path / "runs" / "demo" / "1"):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", ["train_cls", "train_multi", "train_gan", "evaluate", "predict"])
def test_a_file_as_out(
    tool: Tool, tmp_path: Path, exports: Exports, shapes: Path, name: str, inside: bool
) -> None:
    file = tmp_path / "notes"
    file.write_text("mine")
    weights = exports.source("classifier").file
    first = next(shapes.rglob("*.png"))
    given = {"evaluate": (weights, "--data", shapes), "predict": (weights, first)}.get(name, ())
    out = file / "run" if inside else file
    expect(tool(name, *given, "--out", out), f"--out {out}: {file} is a file; name a folder")
    assert file.read_text() == "mine"


def test_a_disk_that_cannot_be_written_to(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    expect(tool("train_cls", "--out", tmp_path / "run"), f"{tmp_path} cannot be written to")
    assert cli.explain(OSError(errno.EROFS, "Read-only file system", "x"))[0] == 2


def test_messages_begin_on_a_line_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        bar = tqdm(total=3, desc="training")
        bar.update()
        raise _FULL

    with pytest.raises(SystemExit):
        cli.run(main)
    assert "\nerror: No space left on device\n" in capsys.readouterr().err


def test_a_dead_loader_is_no_fault() -> None:
    error = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. \nTraceback")
    status, text = cli.explain(error)
    assert status == 2
    assert "(pid 7) is killed by signal: Killed" in text
    assert "fewer --workers" in text
    assert cli.explain(RuntimeError("another")) == (1, "")


def test_terminals_get_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    """From names of classes or files; in JSON they stay what they are."""
    evil = "cat\x1b[2J\x1b]0;owned\x07\r\x9b2J\x7f"
    assert shown(evil) == r"cat\x1b[2J\x1b]0;owned\x07\x0d\x9b2J\x7f"
    assert shown("one\ttwo\r\nthree\n") == "one\ttwo\r\nthree\n"
    assert shown_in({evil: [evil]}) == {evil: [evil]}
    cli.result(Common(json=True), {"class": evil}, "")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert json.loads(printed) == {"class": evil}

    def main() -> None:
        cli.say(evil)
        cli.result(Common(), {}, evil)
        print(warnings.formatwarning(evil, UserWarning, "x.py", 1), file=sys.stderr)
        raise KeyError(evil)

    with pytest.raises(SystemExit):
        cli.run(main)
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\r\x9b\x7f") & set(out + err)


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells the place in the code only where the code is not of this suite."""

    def main() -> None:
        for file in (__file__, "/elsewhere/x.py"):
            print(warnings.formatwarning("a\nb", UserWarning, file, 1), file=sys.stderr)

    cli.run(main)
    ours, theirs = capsys.readouterr().err.split("\n\n")[:2]
    assert ours == "warning: a\nb"
    assert theirs.startswith("/elsewhere/x.py:1: UserWarning: a\nb")


def test_a_full_disk_is_reported_by_the_exports_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, unnamed(tmp_path / "m.onnx"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_thread_that_the_disk_ends_leaves_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def main() -> None:
        def work() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        thread = threading.Thread(target=work, name="curves")
        thread.start()
        thread.join()

    cli.run(main)
    err = capsys.readouterr().err
    assert err == "warning: a thread ended (curves): [Errno 28] No space left on device\n"


def test_a_lock_that_cannot_be_written_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"), sole_process(tmp_path / "run"):
        pass
    assert not [*tmp_path.rglob(".lock")]
