"""Paths that no file system can hold, or that never end when they are read."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasets.ledger import ODD, SHUT
from tests.conftest import Tool
from tests.datasets.label_fakes import write_folders
from tests.exports import Exports
from tests.tools.mistakes import expect

LONG, NUL, HALF, BYTES = "x" * 5000, "a\0b", "half\ud800", "nowhere\udcff"
# What each tool is asked, with {} for a path that is read at once; and for others.
READ = (
    "check_data {}",
    "check_data set --images {}",
    "check_data set --task classification --classes {}",
    "convert {} --to folders",
    "convert set --to coco --images {}",
    "evaluate {}",
    "evaluate {} --labels set",
    "evaluate run --data {}",
    "evaluate run --data set --images {}",
    "evaluate run --data set --classes {}",
    "evaluate run --data set --points {}",
    "predict {} set",
    "predict run {}",
    "predict run set --gallery {}",
    "export {}",
    "export run --samples {}",
    "export run --int8 --calibrate {}",
    "export run --int8 --calibrate set --labelled {}",
    "benchmark {}",
    "benchmark run --images {}",
    "choose --runs {}",
    "serve {}",
    "serve run --gallery {}",
    "import_weights {}",
    "import_weights run --labels {}",
    "import_weights run --key-map {}",
    "make_cells {}",
    "paper --runs {}",
    "prune {}",
    "prune run --data {}",
    "upload {} owner/name",
    "train_cls --data {}",
    "train_cls --data set --val {}",
    "train_cls --weights {}",
    "train_cls --resume {}",
    "train_cls --data set --classes {}",
    "train_dogs --data {}",
    "train_dogs --data set --web {}",
    "train_det --data {}",
    "train_det --data set --images {}",
    "train_det --weights {}",
    "train_attr --data {}",
    "train_embed --data {}",
    "train_geo --data {}",
    "train_gan --data {}",
    "train_multi --tasks classes={}",
    "train_multi --weights {}",
)
WRITTEN = (
    "check_data set --out {}",
    "convert set --to folders --out {}",
    "evaluate run --out {}",
    "predict run set --out {}",
    "export run --out {}",
    "import_weights run --out {}",
    "make_cells set --out {}",
    "train_cls --out {}",
    "train_det --out {}",
    "train_cls --teacher-weights {}",
    "train_geo --cells {}",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The current folder, in which there are a set and a run; it tells what else is there."""
    monkeypatch.chdir(tmp_path)
    write_folders(tmp_path / "set", {"ant": 4, "bee": 4})
    (tmp_path / "run").mkdir()
    return lambda: sorted({one.name for one in tmp_path.iterdir()} - {"set", "run", "data"})


@pytest.mark.slow
@pytest.mark.parametrize("line", [*READ, *WRITTEN])
def test_what_no_file_can_be_called(
    tool: Tool, here: Callable[[], list[str]], exports: Exports, line: str
) -> None:
    name, *words = line.split()
    weights = exports.source("classifier").file
    for odd in (LONG, NUL, HALF, *([BYTES] if line in READ else [])):
        given = [weights if word == "run" else word.replace("{}", odd) for word in words]
        status, out, err = tool(name, *given)
        assert status == 2, (odd[:9], err)
        assert "Traceback" not in err
        (out + err).encode()
    assert here() == []


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder per class with all that a folder can hold, in and beside the classes."""
    root = write_folders(tmp_path / "odd", {"ant": 12, "bee": 12, "shut": 2})
    for name in ("pipe.jpg", "list.txt", "list.csv", "labels.json", "a.xml", "data.yaml", "a.tar"):
        for folder in (root, root / "ant"):
            os.mkfifo(folder / name)
    monkeypatch.chdir(root / "bee")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.jpg")
    (root / "bee/zero.jpg").symlink_to("/dev/zero")
    (root / "bee/loop.jpg").symlink_to("loop.jpg")
    (root / "bee/up").symlink_to(root)
    (root / "round").symlink_to("round")
    scan = os.scandir

    def refuse(path: Any = ".") -> Any:
        if os.fspath(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return root


@pytest.mark.slow
def test_odd_files_are_accounted_for(
    odd: Path, tool: Tool, exports: Exports, tmp_path: Path
) -> None:
    weights = exports.source("classifier").file
    status, text, err = tool("check_data", odd, "--json")
    assert status == 0, text + err
    files = json.loads(text)["files"]
    lost = {reason: row["files"] for reason, row in files["passed_over"].items()}
    assert lost[ODD] == 15
    assert lost[SHUT] == 1
    assert files["used"]["images"] == 24
    assert files["seen"] == sum(lost.values()) + 24
    out = tmp_path / "out"
    flags = ("--workers", 0, "--split", "all", "--out", out / "evaluated", "--json")
    status, text, err = tool("evaluate", weights, "--data", odd, *flags)
    assert status == 0, err
    assert json.loads(text)["files"] == [files]
    answer = tool("predict", weights, odd, "--no-draw", "--out", out / "predicted")
    whats = ("pipe.jpg: is a pipe", "socket.jpg: is a socket", "zero.jpg: is a device")
    expect(answer, *whats, "loop.jpg: cannot be read", "24 images", status=0)
    for path in (odd / "pipe.jpg", odd / "bee/zero.jpg", odd / "bee/socket.jpg"):
        expect(tool("predict", weights, path, "--out", out / "none"), "and no image")
        expect(tool("predict", path, odd, "--out", out / "none"), f"{path}: is a")
        for name in ("check_data", "train_cls"):
            flag = ("--data",) if name == "train_cls" else ()
            expect(tool(name, *flag, path), f"{path}: is a", "neither a file nor a folder")
    film = odd / "film.mp4"
    os.mkfifo(film)
    detector = exports.source("ssd").file
    expect(tool("predict", detector, film, "--out", out / "none"), "is a pipe, and no video")


@pytest.mark.slow
def test_a_folder_that_cannot_be_read(odd: Path, tool: Tool) -> None:
    expect(tool("check_data", odd / "shut"), "shut: ")
    expect(tool("train_det", "--data", odd / "shut"), "shut: ")
    expect(tool("check_data", odd / "round"), "round: no such file or folder")
