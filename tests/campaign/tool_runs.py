"""The tools' own mains in forked children of a process that has imported them already."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tests.campaign.commands import Args
from tests.tools.forked import become

# What differs from one run to the next: times, and where it ran.
_TIMES = ("minutes", "seconds", "time", "command", "speed", "latency", "out", "folder")
_CURVES = "tensorboard"  # One file of a process, called after it and the time.
_UNSTABLE = (".html", ".svg", ".pdf")


@dataclass(frozen=True)
class Run:
    """How a tool ended.

    Attributes:
        status: Exit status, or minus the signal that ended it.
        seconds: That it took.
        err: What it printed to standard error.
    """

    status: int
    seconds: float
    err: str


def start_tool(
    tool: str,
    args: Args,
    where: Path,
    *,
    log: str = "",
    begin: Callable[[], None] | None = None,
    end: Callable[[], None] | None = None,
) -> int:
    """Start a tool's main in a child, in a folder; its process id.

    What it prints goes to ``out.txt`` and ``err.txt`` beside that folder.

    Args:
        tool: Its name.
        args: Its arguments.
        where: Folder to run in.
        log: Begins the names of the files for what it prints.
        begin: Called in the child first.
        end: The same, last.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        logs = (_log(where, log, "out"), _log(where, log, "err"))
        become(tool, args, where, logs, begin=begin, end=end)
    return pid


def _log(where: Path, log: str, name: str) -> Path:
    return where.with_name(f"{log}-{name}.txt" if log else f"{name}.txt")


def run_tool(
    tool: str,
    args: Args,
    where: Path,
    *,
    kill_after: float | None = None,
    wait_first: float = 0,
    begin: Callable[[], None] | None = None,
    end: Callable[[], None] | None = None,
) -> Run:
    """Run a tool's main as :func:`start_tool` does, and wait for its end.

    Args:
        tool: Its name.
        args: Its arguments.
        where: Folder to run in.
        kill_after: Seconds until SIGKILL.
        wait_first: Seconds before it begins.
        begin: Called in the child first.
        end: The same, last.
    """
    time.sleep(wait_first)
    started = time.monotonic()
    pid = start_tool(tool, args, where, begin=begin, end=end)
    while True:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if kill_after is not None and time.monotonic() - started > kill_after:
            os.kill(pid, signal.SIGKILL)
            _, code = os.waitpid(pid, 0)
            break
        time.sleep(0.005)
    text = _log(where, "", "err").read_text(encoding="utf-8", errors="replace")
    return Run(os.waitstatus_to_exitcode(code), time.monotonic() - started, text)


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files below a folder, without what differs by time alone."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    files = [file for file in files if file.parent.name != _CURVES]
    return {str(file.relative_to(folder)): digest(file) for file in files}


def digest(file: Path) -> str:
    """Of a file, as :func:`contents` has it. Raises whatever its reader does, if it is torn."""
    name, suffix = file.name, file.suffix
    if suffix in _UNSTABLE:
        return "there" if file.stat().st_size else "empty"
    if suffix == ".ckpt":
        return _of(_state(file))
    if suffix == ".safetensors":
        return _of(_tensors(file))
    if suffix == ".json":
        return _of(_timeless(json.loads(file.read_text(encoding="utf-8"))))
    if name == "metrics.csv":
        with file.open(newline="", encoding="utf-8") as opened:
            return _of([row for row in csv.reader(opened) if "second" not in row[1]])
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _state(file: Path) -> Any:
    state = torch.load(file, map_location="cpu", weights_only=True)
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    return {part: state[part] for part in parts if part in state}


def _tensors(file: Path) -> Any:
    try:
        return load_file(file)
    except SafetensorError as error:
        return f"damaged: {error}"


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _timeless(inner)
            for key, inner in value.items()
            if not any(part in key for part in _TIMES)
        }
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return value


def _of(value: Any) -> str:
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous()
        found.update(f"{array.dtype}{tuple(array.shape)}".encode())
        found.update(
            array.reshape(-1).view(torch.uint8).numpy().tobytes() if array.numel() else b""
        )
    elif isinstance(value, dict):
        for key, inner in value.items():
            found.update(f"<{key!r}>".encode())
            _feed(found, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            found.update(b"[")
            _feed(found, inner)
    else:
        found.update(repr(value).encode())


def litter(folder: Path) -> list[str]:
    """Hidden files and folders, which only a tool that runs may have."""
    hidden = (path for path in folder.rglob(".*"))
    return sorted(str(path.relative_to(folder)) for path in hidden)
