"""Several processes at one place: resumes, drawings of built-in data, exports, predictions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from datasets.builtin.shapes_and_breeds import draw_shapes
from tests.campaign.commands import COMMANDS, Command, write_sets
from tests.campaign.kills import in_child, warm
from tests.campaign.summary import Tally
from tests.campaign.tool_runs import contents, litter, run_tool, start_tool

_CROWD = 6
# Commands that are given twice at once.
_TWICE = ("cls", "export", "predict", "evaluate", "import")


def race(count: int, seed: int, keep: Path) -> Tally:
    """Let processes race.

    Args:
        count: Races of each kind.
        seed: Of the moments.
        keep: Folder for what ends otherwise than it should.
    """
    base = Path(mkdtemp(prefix="campaign-races-"))
    tally = Tally("races")
    chosen = [one for one in COMMANDS if one.name in _TWICE]
    try:
        in_child(lambda: write_sets(base / "sets"))
        warm(chosen)
        kinds: list[tuple[str, Callable[[Random], str]]] = [("drawing", lambda _: _draw(base))]
        kinds += [(f"{one.name} twice", _twice(one, base)) for one in chosen]
        for name, work in kinds:
            for number in range(count):
                wrong = work(Random(f"{seed}/{name}/{number}"))
                tally.note(name, "wrong" if wrong else "right")
                if wrong and tally.fault(f"{name}: {wrong.splitlines()[0]}", wrong):
                    place = keep / f"race-{name.replace(' ', '-')}-{number}"
                    shutil.copytree(base / "work", place, dirs_exist_ok=True)
        return tally
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _draw(base: Path) -> str:
    """A crowd draws the same set at once."""
    place = base / "work"
    _fresh(place)
    pids = []
    for _ in range(_CROWD):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                draw_shapes(place / "set", num_train=2, num_val=1, size=16)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    failed = sum(bool(os.waitpid(pid, 0)[1]) for pid in pids)
    if failed:
        return f"some of {_CROWD} processes fail ({failed})"
    return f"litter: {litter(place)}" if litter(place) else ""


def _twice(command: Command, base: Path) -> Callable[[Random], str]:
    """A command given twice at once, the second a little later; a training by two resumes."""
    place, sets = base / "work", base / "sets"
    wanted: dict[str, str] = {}
    seconds = 1.0

    def work(rng: Random) -> str:
        nonlocal wanted, seconds
        args = command.args(sets, place)
        if not wanted:
            _fresh(place)
            straight = run_tool(command.tool, args, place)
            wanted, seconds = contents(place), straight.seconds
        _fresh(place)
        if command.resume is not None:
            run_tool(command.tool, args, place, kill_after=rng.uniform(0.3, 0.9) * seconds)
            args = command.resume(sets, place)
            begun = ("config.json", "predict.json")
            if not any((place / command.out / name).exists() for name in begun):
                return ""
        late = rng.uniform(0, 0.5) * seconds
        pid = start_tool(command.tool, args, place, log="other")
        second = run_tool(command.tool, args, place, wait_first=late)
        first = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        text = place.with_name("other-err.txt").read_text(encoding="utf-8") + second.err
        if {first, second.status} - {0, 2} or first == second.status == 2:
            return f"end by {first} and {second.status}\n{text[-600:]}"
        if "Traceback" in text:
            return f"a traceback\n{text[-600:]}"
        if left := litter(place):
            return f"litter\n{', '.join(left)}"
        found = contents(place)
        names = sorted({name for name, _ in found.items() ^ wanted.items()})
        return f"differs\n{', '.join(names)}" if names else ""

    return work


def _fresh(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
