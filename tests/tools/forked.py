"""A tool's main in a process that was forked for it."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm


def become(
    tool: str,
    args: Sequence[Any],
    folder: Path,
    logs: tuple[Path, Path],
    *,
    begin: Callable[[], None] | None = None,
    end: Callable[[], None] | None = None,
    report: bool = True,
    flags: int = os.O_TRUNC,
) -> NoReturn:
    """In a forked child: run a tool and end with its exit status.

    Args:
        tool: Its name.
        args: Its arguments.
        folder: Folder to run in.
        logs: Files for standard output and standard error.
        begin: Called before the tool.
        end: Called last.
        report: Whether the training ends with a report.
        flags: Further flags for opening the logs.
    """
    status = 1
    try:
        os.setsid()
        os.chdir(folder)
        for number, name in enumerate((os.devnull, *map(str, logs))):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | flags, 0o666), number)
        # Its usual lock is shared with siblings; one that is killed while it holds it blocks all.
        tqdm.set_lock(threading.RLock())
        sys.argv = [f"tools/{tool}.py", *map(str, args)]
        if begin is not None:
            begin()
        from tools import cli

        main = importlib.import_module(f"tools.{tool}").main
        cli.run(main if report else partial(main, report=False))
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if end is not None:
            end()
        os._exit(status)
