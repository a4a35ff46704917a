"""A run that was killed, anyhow and anywhere, ends as if it had not been."""

import os
import signal
from pathlib import Path

import pytest
import torch

from datasets.demo import draw_scenes
from tests.tools.runs import SMALL, assert_same_run, start, train, wait_for


def straight(folder: Path, scenes: Path, *args: object, processes: int = 1) -> None:
    done = train("--data", scenes, "--out", folder, *SMALL, *args, processes=processes)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_sigkill(scenes: Path, tmp_path: Path, workers: int) -> None:
    """Killed after some epoch's checkpoint; the half epoch since is trained again."""
    recipe = ("--epochs", 14, "--eval-every", 5, "--workers", workers)
    straight(tmp_path / "straight", scenes, *recipe)
    folder = tmp_path / "killed"
    process = start("--data", scenes, "--out", folder, *SMALL, *recipe)
    wait_for(folder / "last.ckpt", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert state["global_step"] < 14 * 4, "the run was over before it was killed"
    resumed = train("--resume", folder, "--workers", workers)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "straight", folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_within_the_epoch(tmp_path: Path, number: signal.Signals) -> None:
    """One long epoch: the checkpoint lies between two of its batches."""
    scenes = draw_scenes(tmp_path / "scenes", num_train=160, num_val=4)
    recipe = ("--epochs", 1, "--batch-size", 2, "--workers", 1, "--augment", "ssd")
    straight(tmp_path / "straight", scenes, *recipe)
    folder = tmp_path / "stopped"
    process = start("--data", scenes, "--out", folder, *SMALL, *recipe)
    wait_for(folder / "metrics.csv", process)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"go on with --resume {folder}" in errors
    assert "Traceback" not in errors
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert 0 < state["global_step"] < 80
    assert not list(folder.glob(".*"))
    resumed = train("--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "straight", folder)


def test_two_processes(scenes: Path, tmp_path: Path) -> None:
    """Data-parallel training under torchrun, killed and resumed."""
    recipe = ("--epochs", 10, "--eval-every", 5, "--batch-size", 3, "--workers", 1)
    straight(tmp_path / "straight", scenes, *recipe, processes=2)
    folder = tmp_path / "killed"
    process = start("--data", scenes, "--out", folder, *SMALL, *recipe, processes=2)
    wait_for(folder / "last.ckpt", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    resumed = train("--resume", folder, processes=2)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "straight", folder)


def test_a_resume_takes_no_other_recipe(scenes: Path, tmp_path: Path) -> None:
    straight(tmp_path, scenes, "--epochs", 1)
    refused = train("--resume", tmp_path, "--lr", "1")
    assert refused.returncode == 2
    assert "--lr cannot be changed on resume" in refused.stderr
    again = train("--data", scenes, "--out", tmp_path, *SMALL)
    assert again.returncode == 2
    assert f"go on with it by --resume {tmp_path}" in again.stderr
    missing = train("--resume", tmp_path / "none")
    assert missing.returncode == 2
    assert "no config.json there" in missing.stderr
