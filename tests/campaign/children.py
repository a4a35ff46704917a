"""Work on many inputs in child processes that are bounded in time and memory."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from tools.cli import BAD_INPUT, explain

Case = TypeVar("Case")
ROOT = Path(__file__).resolve().parent.parent.parent
# Of an input: processor time, time by the clock, and memory over what a child begins with.
SECONDS, WAITING, BYTES = 5.0, 90.0, 1 << 30
_BATCH = 50
# How an input ended. The first two are right.
ANSWER, REFUSED, FAULT, HANG, MEMORY, CRASH = (
    "answered", "refused", "fault", "hang", "memory", "crash",
)  # fmt: skip
_NO_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc", "Unable to allocate")


@dataclass(frozen=True)
class Ended(Generic[Case]):
    """How work on an input ended.

    Attributes:
        case: What was worked on.
        outcome: One of the above.
        kind: What inputs that end alike have in common.
        text: What was raised, for people.
    """

    case: Case
    outcome: str
    kind: str = ""
    text: str = ""

    @property
    def is_right(self) -> bool:
        """Whether it ended as it should."""
        return self.outcome in (ANSWER, REFUSED)


@dataclass
class _Child(Generic[Case]):
    pid: int
    pipe: int
    cases: list[Case]
    begun: int = -1
    ended: int = -1
    cpu: float = 0.0
    clock: float = field(default_factory=time.monotonic)
    rest: bytes = b""


def work_on(
    cases: Iterable[Case], work: Callable[[Case], None], jobs: int, batch: int = _BATCH
) -> Iterator[Ended[Case]]:
    """Work on inputs in forked children, a batch in each; a child that dies costs one input.

    Args:
        cases: Inputs.
        work: Returns, or raises.
        jobs: Children at once.
        batch: Inputs of a child.
    """
    waiting: Iterator[Case] = iter(cases)
    left: deque[list[Case]] = deque()
    children: dict[int, _Child[Case]] = {}
    chosen = selectors.DefaultSelector()
    try:
        while True:
            while len(children) < jobs:
                given = left.popleft() if left else list(islice(waiting, batch))
                if not given:
                    break
                child = _fork(given, work)
                children[child.pipe] = child
                chosen.register(child.pipe, selectors.EVENT_READ)
            if not children:
                return
            ready = [key.fd for key, _ in chosen.select(0.25)]
            for pipe in ready:
                child = children[pipe]
                data = os.read(pipe, 1 << 16)
                yield from _heard(child, data)
                if not data:
                    chosen.unregister(pipe)
                    del children[pipe]
                    yield from _gone(child)
                    if child.cases[child.ended + 1 :]:
                        left.append(child.cases[child.ended + 1 :])
            for child in children.values():
                if child.pipe not in ready:
                    yield from _watch(child)
    finally:
        for child in children.values():
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def _fork(cases: list[Any], work: Callable[[Any], None]) -> _Child[Any]:
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return _Child(pid, read, cases)
    try:
        os.close(read)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number, case in enumerate(cases):
            os.write(write, b"%d\n" % number)
            found = _done(work, case)
            os.write(write, json.dumps(found).encode() + b"\n")
            if found[0] == MEMORY:
                break
    finally:
        os._exit(0)


def _done(work: Callable[[Any], None], case: Any) -> tuple[str, str, str]:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    try:
        work(case)
    except (Exception, SystemExit) as error:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        return _judged(error)
    return ANSWER, "", ""


def _judged(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, SystemExit):
        outcome = REFUSED if error.code in (0, BAD_INPUT) else FAULT
        return outcome, f"exit {error.code}", ""
    assert isinstance(error, Exception)
    status, text = explain(error)
    if status == BAD_INPUT:
        return REFUSED, "", text
    text = f"{type(error).__name__}: {error!s:.300}"
    short = any(part in text for part in _NO_MEMORY) or isinstance(error, MemoryError)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(ROOT)) and "/.venv/" not in f.filename]
    last = [frame for frame in ours if "/tests/" not in frame.filename] or ours or frames
    place = "" if not last else f"{_short(last[-1].filename)}:{last[-1].lineno}"
    return (MEMORY if short else FAULT), f"{type(error).__name__} at {place}", text


def _short(name: str) -> str:
    return name.removeprefix(f"{ROOT}/")


def _heard(child: _Child[Case], data: bytes) -> Iterator[Ended[Case]]:
    *lines, child.rest = (child.rest + data).split(b"\n")
    for line in lines:
        if line[:1] == b"[":
            child.ended = child.begun
            yield Ended(child.cases[child.ended], *json.loads(line))
        else:
            child.begun = int(line)
            child.cpu, child.clock = cpu_seconds(child.pid), time.monotonic()


def _gone(child: _Child[Case]) -> Iterator[Ended[Case]]:
    """Take leave of a child; it may have been within an input."""
    os.close(child.pipe)
    _, status = os.waitpid(child.pid, 0)
    if child.begun > child.ended:
        child.ended = child.begun
        number = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-number).name if number < 0 else f"exit {number}"
        yield Ended(child.cases[child.ended], CRASH, name, f"the process ended by {name}")


def _watch(child: _Child[Case]) -> Iterator[Ended[Case]]:
    """End a child whose input takes too long."""
    used, waited = cpu_seconds(child.pid) - child.cpu, time.monotonic() - child.clock
    if child.begun <= child.ended or (used < SECONDS and waited < WAITING):
        return
    os.kill(child.pid, signal.SIGKILL)
    child.ended = child.begun
    how = f"{used:.1f} s of processor time, {waited:.0f} s by the clock"
    yield Ended(child.cases[child.ended], HANG, "hang", how)


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    rows = stat.rpartition(")")[2].split()
    return (int(rows[11]) + int(rows[12])) / os.sysconf("SC_CLK_TCK")
