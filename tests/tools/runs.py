"""Small training runs as real processes."""

import contextlib
import hashlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from configs.training import Training
from tests.conftest import Tool

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ("--preset", "demo", "--alpha", "0.25", "--size", "64", "--batch-size", "6")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": os.environ.get("TEST_THREADS", "1")}


def command(*args: object, processes: int = 1, tool: str = "train_det") -> list[str]:
    """A tool with arguments, under torchrun if for several processes."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += [
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={processes}",
        ]
    return [*launcher, str(ROOT / f"tools/{tool}.py"), *map(str, args)]


def _device(args: tuple[object, ...]) -> tuple[str, ...]:
    """A resumed run knows its own."""
    return () if "--resume" in args else ("--device", "cpu")


def train(
    *args: object, processes: int = 1, tool: str = "train_det"
) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        command(*args, *_device(args), processes=processes, tool=tool),
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=300,
    )


def run_main(tool: str, *args: object) -> None:
    """A tool's own main in this process, as a program of its own would do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [f"tools/{tool}.py", *map(str, args)])
        importlib.import_module(f"tools.{tool}").main()


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


def start(*args: object, processes: int = 1) -> subprocess.Popen[str]:
    """Start and return at once; its process group is its own."""
    return subprocess.Popen(
        command(*args, *_device(args), processes=processes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def wait_for(file: Path, process: subprocess.Popen[str], seconds: float = 1800) -> None:
    """Wait until a running process has written a file; one that does not is killed."""
    end = time.monotonic() + seconds
    while not file.exists():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"{file} did not come: {process.communicate()}")
        time.sleep(0.02)


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
def straight_run(tool: str, places: pytest.TempPathFactory, *args: object) -> Iterator[Path]:
    """A run of a tool's own main to its end, which those who share it leave as it is."""
    folder = places.mktemp("runs") / "straight"
    run_main(tool, *args, "--out", folder)
    with unchanged(folder):
        yield folder
