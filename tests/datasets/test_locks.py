"""Locks between processes, sets that many draw at once, and litter of those that were killed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.builtin.make_once import make_once
from datasets.locks import holding, remove_unfinished, unfinished

_HOLD = """
import sys
import time
from pathlib import Path
from datasets.locks import holding
with holding(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    sys.stdin.read()
"""
_DRAW = """
import os, sys
from pathlib import Path
from datasets.builtin.make_once import make_once
root = Path(sys.argv[1])

def fill(folder):
    with open(root.parent / "drawn", "a") as log:
        log.write("x")
    for number in range(50):
        (folder / f"{number}.txt").write_text("x")

make_once(root, "set.json", {"seed": 1}, fill)
assert len(list(root.iterdir())) == 51
"""
_NO_PROCESS = 2**22 + 1  # More than systems count to.


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds ``lock``."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_named(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    told = rf"^my run: another process .* process {holder.pid} on \S+ since 20\d\d-\d\d-\d\d "
    with pytest.raises(ValueError, match=told), holding(tmp_path / "lock", "my run"):
        pass
    assert (tmp_path / "lock").exists()


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    with holding(tmp_path / "lock", "my run"):
        assert f"process {os.getpid()} " in (tmp_path / "lock").read_text()
    assert not (tmp_path / "lock").exists()


def test_another_machine_may_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process cannot be looked for here; another container of this machine is no other one."""
    lock = tmp_path / "lock"
    lock.write_text("process 7 on far.example since 2026-01-02 03:04:05\n")
    os.utime(lock, (time.time() - 7200,) * 2)
    told = rf"my run: process 7 on far.example, another machine, .* 2 hours ago.* delete {lock}"
    for wait in (False, True):
        with pytest.raises(ValueError, match=told), holding(lock, "my run", wait=wait):
            pass
    assert lock.exists()
    lock.unlink()
    with holding(lock, "my run"):
        text = lock.read_text()
    monkeypatch.setattr(socket, "gethostname", lambda: "container")
    lock.write_text(text)
    with holding(lock, "my run"):
        assert " on container since " in lock.read_text()


def test_what_another_machine_writes_stays_for_a_day(tmp_path: Path) -> None:
    young, old = (tmp_path / f".{name}.{_NO_PROCESS}@0123abcd.tmp" for name in ("a", "b"))
    for one in (young, old):
        one.touch()
    os.utime(old, (1e9, 1e9))
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(OSError, match="lock"), holding(tmp_path / "lock", "x"):
        pass
    assert (tmp_path / "precious").read_text() == "x"


@pytest.mark.slow
def test_many_processes_draw_a_set_once(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "old").mkdir(parents=True)
    (root / "set.json").write_text('{"seed": 0}')  # Of another version.
    litter = tmp_path / f".set.{_NO_PROCESS}.tmp"
    litter.mkdir()
    command = [sys.executable, "-c", _DRAW, str(root)]
    processes = [subprocess.Popen(command) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    assert (tmp_path / "drawn").read_text() == "x"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["drawn", "set"]


def test_somebodys_files_stay(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("x")
    with pytest.raises(ValueError, match="holds something else than built-in set"):
        make_once(tmp_path / "set", "set.json", {}, lambda _: None)
    assert [one.name for one in tmp_path.iterdir()] == ["set"]


def test_what_killed_processes_left_is_removed(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    dead, alive = _NO_PROCESS, holder.pid
    left = [
        f".last.ckpt.{dead}.tmp",
        f".film.mp4.{dead}.tmp.mp4",
        f".set.{dead}.part",
        f".x.onnx.{dead}.k3j_2x.tmp",
    ]
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    others = [f".x.{alive}.tmp", unfinished("x"), ".hidden", "x.1.tmp", ".notes.v2.txt"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / f".a.{dead}.tmp").touch()
    remove_unfinished(tmp_path, "set")
    assert not (tmp_path / left[2]).exists()
    assert (tmp_path / left[0]).exists()
    remove_unfinished(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([*others, "heads", "lock"])
    remove_unfinished(tmp_path, below=True)
    assert not list((tmp_path / "heads").iterdir())
    assert (tmp_path / others[0]).exists()
    assert (tmp_path / others[1]).exists()
