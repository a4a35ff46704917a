"""Every tool that writes, killed at random moments, resumed, and compared with a run of one go."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from tqdm import tqdm

from tests.campaign.commands import Command, commands, write_sets
from tests.campaign.summary import Tally
from tests.campaign.tool_runs import Run, contents, digest, litter, run_tool

_MOST_KILLS = 3
# What Python's auditing reports when something on the disk changes.
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")


def kills(count: int, seed: int, only: Sequence[str], keep: Path) -> Tally:
    """Kill tools.

    Args:
        count: Runs that are killed, over all commands.
        seed: Of the moments.
        only: Commands; all if it is empty.
        keep: Folder for runs that end otherwise than they should.
    """
    chosen = commands(only)
    base = Path(mkdtemp(prefix="campaign-kills-"))
    tally = Tally("kills")
    try:
        sets = base / "sets"
        in_child(lambda: write_sets(sets))
        warm(chosen)
        bar = tqdm(total=count, desc="kills", unit="run")
        for number, command in enumerate(chosen):
            share = count * (number + 1) // len(chosen) - count * number // len(chosen)
            _kill_often(command, share, seed, sets, base, keep, tally, bar)
        return tally
    finally:
        shutil.rmtree(base, ignore_errors=True)


def in_child(work: Callable[[], object]) -> None:
    """Do something in a process of its own, whose threads then are none of this one's."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            if status:
                import traceback

                traceback.print_exc()
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("what the commands take could not be written")


def warm(chosen: Sequence[Command]) -> None:
    """Import what the tools do, so that children need not."""
    import importlib

    for name in {f"tools.{one.tool}" for one in chosen} | {
        "tools.recipes", "tools.flows.training", "tools.flows.grid", "tools.flows.predicting",
        "tools.flows.exporting", "tools.flows.evaluating", "tools.flows.converting",
        "tools.multitask.recipe", "tools.dcgan.recipe", "onnxruntime", "torch.onnx",
        "tasks.export.onnx_file", "matplotlib.figure", "albumentations", "pandas",
    }:  # fmt: skip
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def _kill_often(
    command: Command,
    count: int,
    seed: int,
    sets: Path,
    base: Path,
    keep: Path,
    tally: Tally,
    bar: Any,
) -> None:
    # Both in a folder of the same name: a run's files hold its path.
    place = base / "work"
    _fresh(place)
    straight, changes = _straight(command, sets, place)
    if straight.status:
        tally.note(command.name, "not run")
        tally.fault(f"{command.name}: fails without a kill", straight.err[-600:])
        bar.update(count)
        return
    wanted = contents(place)
    for number in range(count):
        rng = Random(f"{seed}/{command.name}/{number}")
        wrong = _killed(command, sets, place, rng, straight.seconds, changes, wanted, tally)
        tally.note(command.name, "wrong" if wrong else "equal")
        if wrong and tally.fault(f"{command.name}: {wrong[0]}", f"number {number}: {wrong[1]}"):
            shutil.copytree(place, keep / f"kill-{command.name}-{number}", dirs_exist_ok=True)
            tqdm.write(f"{command.name} {number}: {wrong[0]}: {wrong[1][-300:]}", file=sys.stderr)
        bar.update()


def _killed(
    command: Command,
    sets: Path,
    place: Path,
    rng: Random,
    seconds: float,
    changes: int,
    wanted: dict[str, str],
    tally: Tally,
) -> tuple[str, str] | None:
    """Kill a run once or more, let it go on to its end; what is wrong then."""
    _fresh(place)
    args = command.args(sets, place)
    for _ in range(rng.choice((1, 1, 2, _MOST_KILLS))):
        if rng.random() < 0.5:
            done = run_tool(command.tool, args, place, kill_after=rng.uniform(0, seconds))
        else:
            done = run_tool(command.tool, args, place, begin=_die_at(rng.randint(1, changes + 1)))
        if done.status != -signal.SIGKILL:
            break
        tally.note(command.name, "kills")
        torn = _torn(place)
        if torn:
            return "torn files", torn
        args = next_args(command, sets, place)
    else:
        done = run_tool(command.tool, args, place)
    return _judge(done, place, wanted)


def next_args(command: Command, sets: Path, place: Path) -> Sequence[Any]:
    """What a person does then: resume what has begun, or give the command again."""
    begun = any((place / command.out / name).exists() for name in ("config.json", "predict.json"))
    if command.resume is not None and (begun or _is_grid(place / command.out)):
        return command.resume(sets, place)
    return command.args(sets, place)


def _is_grid(folder: Path) -> bool:
    return any(folder.glob("*/config.json"))


def _judge(done: Run, place: Path, wanted: dict[str, str]) -> tuple[str, str] | None:
    if done.status:
        return f"ends by {done.status}", done.err[-600:]
    if left := litter(place):
        return "litter", ", ".join(left)
    found = contents(place)
    if found != wanted:
        names = sorted({name for name, _ in found.items() ^ wanted.items()})
        return "differs", ", ".join(names)
    return None


def _torn(place: Path) -> str:
    """Files under their own names that cannot be read, right after a kill."""
    for file in place.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(place).parts)
        if not hidden and file.suffix in (".json", ".safetensors", ".ckpt") and file.is_file():
            try:
                damaged = digest(file).startswith("damaged")
            except Exception as error:
                return f"{file.relative_to(place)}: {error!s:.200}"
            if damaged:
                return str(file.relative_to(place))
    return ""


def _fresh(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()


def _is_change(event: str, args: tuple[Any, ...]) -> bool:
    if event == "open":  # Of a file that is to be written.
        return isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR))
    return event in _CHANGES


def _die_at(number: int) -> Callable[[], None]:
    """Have a child kill itself before its n-th change of the disk."""

    def begin() -> None:
        left = number

        def hook(event: str, args: tuple[Any, ...]) -> None:
            nonlocal left
            if _is_change(event, args):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return begin


def _straight(command: Command, sets: Path, place: Path) -> tuple[Run, int]:
    """A run that is not killed, and how many changes of the disk it makes."""
    counter = place.with_name("changes")

    def begin() -> None:
        counted = 0
        number = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)

        def hook(event: str, args: tuple[Any, ...]) -> None:
            nonlocal counted
            if _is_change(event, args):
                counted += 1
                os.pwrite(number, b"%09d" % counted, 0)

        sys.addaudithook(hook)

    done = run_tool(command.tool, command.args(sets, place), place, begin=begin)
    return done, int(counter.read_bytes() or b"1")
