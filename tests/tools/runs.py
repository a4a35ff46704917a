"""Small training runs as real processes."""

import atexit
import contextlib
import functools
import hashlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from configs.training import Training
from tests.conftest import Tool
from tests.json_results import check_results

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ("--preset", "demo", "--alpha", "0.25", "--size", "64", "--batch-size", "6")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": os.environ.get("TEST_THREADS", "1")}


def command(*args: object, tool: str = "train_det") -> list[str]:
    """The command line of a tool with arguments."""
    return [sys.executable, str(ROOT / f"tools/{tool}.py"), *map(str, args)]


def _device(args: tuple[object, ...]) -> tuple[str, ...]:
    """A resumed run knows its own."""
    return () if "--resume" in args else ("--device", "cpu")


@dataclass
class Program:
    """A tool that runs in processes of its own.

    Attributes:
        pids: Of its ranks.
        log: Folder for what it prints.
        returncode: Of the first rank that failed, or 0; None as long as it runs.
    """

    pids: list[int]
    log: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """Exit status, if it has ended; minus the number of a signal."""
        if (self.log / "status").exists():
            self.returncode = int((self.log / "status").read_text())
        return self.returncode

    def wait(self, seconds: float = 300) -> "Program":
        """Wait for its end."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                raise AssertionError(f"no end after {seconds} s: {self.stderr}")
            time.sleep(0.02)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send all ranks a signal, and all that they started."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return (self.log / "out").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """The same to standard error."""
        return (self.log / "err").read_text(encoding="utf-8")


@functools.cache
def _server() -> "subprocess.Popen[str]":
    """What starts programs; it ends with this process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.tools.fork_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    atexit.register(server.communicate)
    return server


@functools.cache
def _logs() -> Path:
    folder = TemporaryDirectory(prefix="programs-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _ranks(processes: int) -> list[dict[str, str]]:
    """What torchrun tells each of its processes."""
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"},
        **{"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)},
        **{"GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1"},
    }
    return [{**common, "RANK": str(k), "LOCAL_RANK": str(k)} for k in range(processes)]


def start(
    *args: object,
    processes: int = 1,
    tool: str = "train_det",
    report: bool = True,
    signal_at: tuple[int, signal.Signals] | None = None,
    ranks: Sequence[dict[str, str]] | None = None,
) -> Program:
    """Start a tool and return at once; each rank has a process group of its own.

    Args:
        args: Its arguments.
        processes: Ranks, as torchrun starts them.
        ranks: The environment of each rank, if something else starts them.
        tool: Its name.
        report: Draw the report's page too.
        signal_at: A training step, and the signal that each rank's group then gets.
    """
    log = Path(mkdtemp(dir=_logs()))
    asked = {
        **{"tool": tool, "args": [*map(str, args), *_device(args)], "folder": str(Path.cwd())},
        **{
            "ranks": ranks or _ranks(processes),
            "log": str(log),
            "report": report,
            "signal": signal_at,
        },
    }
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{json.dumps(asked)}\n")
    server.stdin.flush()
    return Program(json.loads(server.stdout.readline()), log)


def train(
    *args: object,
    processes: int = 1,
    tool: str = "train_det",
    report: bool = True,
    signal_at: tuple[int, signal.Signals] | None = None,
    ranks: Sequence[dict[str, str]] | None = None,
) -> Program:
    """Run a tool as :func:`start` does, to its end."""
    more: Any = {"report": report, "signal_at": signal_at, "ranks": ranks}
    return start(*args, processes=processes, tool=tool, **more).wait()


def train_by_torchrun(*args: object, tool: str) -> "subprocess.CompletedProcess[str]":
    """The same on two processes, by torchrun itself."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    python, *rest = command(*args, *_device(args), tool=tool)
    return subprocess.run(
        [python, *launcher, *rest],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=300,
    )


def run_main(tool: str, *args: object, **more: bool) -> None:
    """A tool's own main in this process, as a program of its own would do it."""
    check_results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [f"tools/{tool}.py", *map(str, args)])
        importlib.import_module(f"tools.{tool}").main(**more)


def preset_taken(tool: Tool, patch: pytest.MonkeyPatch, *args: object) -> str:
    """The preset that a training tool takes with some flags; nothing is trained."""
    taken: list[str] = []

    def note(_recipe: object, config: Training, *, report: bool) -> tuple[dict[str, str], str]:
        assert report
        taken.append(config.preset)
        return {}, ""

    patch.setattr("tools.flows.grid.train_or_grid", note)
    status, _, err = tool(*args)
    assert status == 0, err
    (preset,) = taken
    return preset


def wait_for(file: Path, process: Program, seconds: float = 1800) -> None:
    """Wait until a running program has written a file; one that does not is killed."""
    end = time.monotonic() + seconds
    while not file.exists():
        assert process.poll() is None, process.stderr
        if time.monotonic() > end:
            process.send(signal.SIGKILL)
            raise AssertionError(f"{file} did not come: {process.stderr}")
        time.sleep(0.005)


def assert_same_run(one: Path, two: Path) -> None:
    """Weights, optimiser, averages, schedule and metrics are equal bit for bit."""
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    states = [torch.load(f / "last.ckpt", weights_only=True) for f in (one, two)]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        assert_equal(states[0][part], states[1][part], part)
    if "current_model_state" in states[0]:
        one_average, other_average = (state["current_model_state"] for state in states)
        assert_equal(one_average, other_average, "current_model_state")
    assert (one / "metrics.csv").read_text() == (two / "metrics.csv").read_text()


def assert_equal(one: Any, two: Any, where: str) -> None:
    """Deep equality of what a checkpoint holds."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_equal(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for k, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_equal(a, b, f"{where}[{k}]")
    else:
        assert one == two, where


@contextlib.contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Check that those who share a run folder leave it as it is, so that their order is free."""
    before = _digests(folder)
    yield
    after = _digests(folder)
    assert after == before, sorted(name for name, _ in before.items() ^ after.items())


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@contextlib.contextmanager
def straight_run(
    tool: str, places: pytest.TempPathFactory, *args: object, **more: bool
) -> Iterator[Path]:
    """A run of a tool's own main to its end, which those who share it leave as it is."""
    folder = places.mktemp("runs") / "straight"
    run_main(tool, *args, "--out", folder, **more)
    with unchanged(folder):
        yield folder
