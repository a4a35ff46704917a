"""Starts tools by forking a process that has imported what they need, which is paid once.

It computes nothing itself, so that a child is as a program of its own. Lines of JSON come in, one
for each program; a line with the process ids of its ranks goes out.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.json_results import check_results
from tests.tools.forked import become
from tests.tools.stopping import signal_at

_IMPORTED = (
    *("tools.train_det", "tools.train_cls", "tools.recipes", "tools.flows.grid"),
    *("tools.flows.training", "tools.detection.recipe", "tools.classification.recipe"),
)


def main() -> None:
    """Serve until standard input ends; then wait for all children."""
    for name in _IMPORTED:
        importlib.import_module(name)
    check_results()
    for line in sys.stdin:
        read, write = os.pipe()
        if not os.fork():
            os.close(read)
            _keep(json.loads(line), write)
        os.close(write)
        with os.fdopen(read) as pids:
            print(pids.readline(), end="", flush=True)
        _reap(os.WNOHANG)
    _reap(0)


def _reap(flags: int) -> None:
    try:
        while os.waitpid(-1, flags)[0]:
            pass
    except ChildProcessError:
        pass


def _keep(asked: dict[str, Any], write: int) -> None:
    """Fork the ranks of a program, tell who they are, and write down how they ended."""
    log = Path(asked["log"])
    ranks = [_fork(asked, environment) for environment in asked["ranks"]]
    os.write(write, f"{json.dumps(ranks)}\n".encode())
    os.close(write)
    ended: dict[int, int] = {}
    while len(ended) < len(ranks):
        pid, status = os.wait()
        ended[pid] = os.waitstatus_to_exitcode(status)
        if ended[pid] and len(ended) < len(ranks):  # As torchrun does it.
            time.sleep(0.5)
            for other in set(ranks) - set(ended):
                os.kill(other, signal.SIGKILL)
    codes = [ended[rank] for rank in ranks]
    (log / "status.tmp").write_text(json.dumps(next((c for c in codes if c), 0)))
    (log / "status.tmp").rename(log / "status")
    os._exit(0)


def _fork(asked: dict[str, Any], environment: dict[str, str]) -> int:
    def begin() -> None:
        os.environ.update(environment)
        if asked["signal"]:
            step, number = asked["signal"]
            signal_at(step, pytest.MonkeyPatch(), number=signal.Signals(number), group=True)

    pid = os.fork()
    if not pid:
        log = Path(asked["log"])
        become(
            asked["tool"],
            asked["args"],
            Path(asked["folder"]),
            (log / "out", log / "err"),
            begin=begin,
            report=asked["report"],
            flags=os.O_APPEND,
        )
    return pid


if __name__ == "__main__":
    main()
