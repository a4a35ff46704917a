"""Locks between processes, sets that many draw at once, and litter of those that were killed."""

import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets import locks
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
_FAR = "process 7 on far.example since 2026-01-02 03:04:05\n"
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
    lock.write_text(_FAR)
    os.utime(lock, (time.time() - 300,) * 2)
    found = rf"my run: process 7 on far.example, another machine, .* 5 minutes ago.* delete {lock}"
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 4e9)  # A clock of its own.
        with pytest.raises(ValueError, match=found), holding(lock, "my run"):
            pass
    assert lock.exists()
    lock.unlink()
    with holding(lock, "my run"):
        text = lock.read_text()
    monkeypatch.setattr(socket, "gethostname", lambda: "container")
    lock.write_text(text)
    with holding(lock, "my run"):
        assert " on container since " in lock.read_text()


@pytest.mark.parametrize("wait", [False, True])
def test_a_stale_lock_is_taken_over(tmp_path: Path, wait: bool) -> None:
    lock = tmp_path / "lock"
    lock.write_text(_FAR)
    os.utime(lock, (time.time() - 660,) * 2)
    taken = "my run: process 7 on far.example, .* for 11 minutes: its lock is taken over"
    with pytest.warns(UserWarning, match=taken), holding(lock, "my run", wait=wait):
        assert f"process {os.getpid()} " in lock.read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ends", [True, False])
def test_another_machine_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """Until it has ended, or has been silent for long."""
    lock = tmp_path / "lock"
    lock.write_text(_FAR)
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            lock.unlink() if ends else os.utime(lock, (1e9, 1e9))

    monkeypatch.setattr(time, "sleep", sleep)
    with warnings.catch_warnings(record=True) as found, holding(lock, "my run", wait=True):
        assert f"process {os.getpid()} " in lock.read_text()
    assert naps == [1, 1, 1]
    assert [": waiting until" in str(one.message) for one in found] == [True, False][: 2 - ends]


def test_a_holder_touches_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves alone what another machine has taken over meanwhile."""
    monkeypatch.setattr(locks, "_TOUCH_SECONDS", 0.01)
    lock = tmp_path / "lock"
    with holding(lock, "my run"):
        os.utime(lock, (1e9, 1e9))
        limit = time.monotonic() + 60
        while lock.stat().st_mtime == 1e9 and time.monotonic() < limit:
            time.sleep(0.01)
        assert lock.stat().st_mtime > 1e9
        lock.write_text(_FAR)
    assert "lock" not in [one.name for one in threading.enumerate()]
    assert lock.read_text() == _FAR


def test_what_another_machine_writes_stays_for_a_day(tmp_path: Path) -> None:
    young, old = (tmp_path / f".{name}.{_NO_PROCESS}@0123abcd.tmp" for name in ("a", "b"))
    for one in (young, old):
        one.touch()
    os.utime(old, (1e9, 1e9))
    busy, left = (tmp_path / f".{name}.{_NO_PROCESS}@0123abcd.part" for name in ("c", "d"))
    for one in (busy, left):
        (one / "images").mkdir(parents=True)
        (one / "images" / "1.jpg").touch()
        for path in (one / "images", one):
            os.utime(path, (1e9, 1e9))
    os.utime(left / "images" / "1.jpg", (1e9, 1e9))
    remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == [young, busy]


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
