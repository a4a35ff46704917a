"""Tools on a disk that is full from the n-th write on, for every n."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tqdm import tqdm

from tests.campaign.commands import Command, commands, write_sets
from tests.campaign.kills import in_child, next_args, warm
from tests.campaign.summary import Tally
from tests.campaign.tool_runs import Run, contents, litter, run_tool

_SOURCE = Path(__file__).with_name("full_disk.cpp")
# Preloaded into this process, whose children then have it, too.
_LIBRARY = "CAMPAIGN_FULL_DISK"
# Commands of the tools that are to be tried if none is named.
_USUAL = ("predict", "predict-video", "export", "export-litert", "cls", "det", "evaluate",
          "convert", "import", "prune")  # fmt: skip


def preloaded() -> bool:
    """Whether writes of this process and its children can be made to fail."""
    return _LIBRARY in os.environ


def begin_anew() -> None:
    """Start this very command with the library that lets writes fail. Raises SystemExit."""
    folder = Path(mkdtemp(prefix="campaign-library-"))
    library = folder / "full_disk.so"
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        raise SystemExit("disk: needs g++, by which the library is built that lets writes fail")
    build = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(build, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), _LIBRARY: str(library)}
    command = [sys.executable, "-m", "tests.campaign", *sys.argv[1:]]
    os.execve(sys.executable, command, environment)


def full_disk(count: int, only: Sequence[str], keep: Path) -> Tally:
    """Let disks be full.

    Args:
        count: Writes of a command that are tried, evenly over all that it makes.
        only: Commands; all usual ones if it is empty.
        keep: Folder for runs that end otherwise than they should.
    """
    base = Path(mkdtemp(prefix="campaign-disk-"))
    tally = Tally("disk")
    chosen = commands(only or _USUAL)
    try:
        sets = base / "sets"
        in_child(lambda: write_sets(sets))
        warm(chosen)
        for command in chosen:
            _fill(command, count, sets, base, keep, tally)
        return tally
    finally:
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(Path(os.environ[_LIBRARY]).parent, ignore_errors=True)


def _fill(command: Command, count: int, sets: Path, base: Path, keep: Path, tally: Tally) -> None:
    place, before = base / "work", base / "before"
    for folder in (place, before):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    counter = base / "writes"
    args = command.args(sets, place)
    done = run_tool(
        command.tool, args, place, begin=lambda: _full_at(0, place), end=lambda: _counted(counter)
    )
    if done.status:
        tally.fault(f"{command.name}: fails on a disk with room", done.err[-600:])
        return
    wanted, writes = contents(place), int(counter.read_text(encoding="ascii"))
    again = command.over
    if again:
        shutil.copytree(place, before, dirs_exist_ok=True)
    numbers = sorted({1 + writes * k // count for k in range(count)} | {writes})
    for number in tqdm([n for n in numbers if n <= writes], command.name, unit="write"):
        shutil.rmtree(place)
        shutil.copytree(before, place)
        done = run_tool(command.tool, args, place, begin=lambda n=number: _full_at(n, place))  # type: ignore[misc]
        wrong = _judge(command, done, place, wanted, again=again)
        if not wrong and not again:
            wrong = _goes_on(command, sets, place, wanted)
        tally.note(command.name, "wrong" if wrong else "right")
        if wrong and tally.fault(
            f"{command.name}: {wrong[0]}", f"write {number} of {writes}: {wrong[1]}"
        ):
            shutil.copytree(place, keep / f"disk-{command.name}-{number}", dirs_exist_ok=True)
            tqdm.write(f"{command.name} {number}: {wrong[0]}: {wrong[1][-300:]}", file=sys.stderr)


def _judge(
    command: Command, done: Run, place: Path, wanted: dict[str, str], *, again: bool
) -> tuple[str, str] | None:
    """What is wrong after a run on a full disk."""
    if "Traceback" in done.err:
        return "a traceback", done.err[-900:]
    if done.status not in (0, 1):
        return f"ends by {done.status}", done.err[-600:]
    if left := litter(place):
        return "litter", ", ".join(left)
    found = contents(place)
    if done.status == 0:
        return ("exit status 0 all the same", done.err[-600:]) if found != wanted else None
    if str(place / command.out) not in done.err:
        return "the message names no file", done.err[-600:]
    if again and found != wanted:
        names = sorted({name for name, _ in found.items() ^ wanted.items()})
        return "the last good files are not kept", ", ".join(names)
    return None


def _goes_on(
    command: Command, sets: Path, place: Path, wanted: dict[str, str]
) -> tuple[str, str] | None:
    """A command goes on once there is room, and ends as if there had always been."""
    done = run_tool(command.tool, next_args(command, sets, place), place)
    if done.status:
        return f"does not go on ({done.status})", done.err[-600:]
    found = contents(place)
    names = sorted({name for name, _ in found.items() ^ wanted.items()})
    return ("differs", ", ".join(names)) if names else None


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ[_LIBRARY])


def _full_at(number: int, place: Path) -> None:
    """In a child: have its n-th write fail, and all behind it; 0 counts them only."""
    _library().disk_is_full_at(ctypes.c_long(number), str(place / "").encode())


def _counted(counter: Path) -> None:
    counter.write_text(str(_library().writes_counted()), encoding="ascii")
