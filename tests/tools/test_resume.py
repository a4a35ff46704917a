"""A run that was killed, anyhow and anywhere, ends as if it had not been."""

import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.classification import TrainCls
from configs.common import Common
from datasets.builtin.scenes import draw_scenes
from tasks.fitting.network_task import NetworkTask
from tests.conftest import Tool
from tests.tools.runs import SMALL, assert_same_run, start, train, wait_for
from tests.tools.stopping import stop_at
from tools.flows.run_folder import new_run_folder, resumed, save_config


def straight(folder: Path, scenes: Path, *args: object, processes: int = 1) -> None:
    done = train("--data", scenes, "--out", folder, *SMALL, *args, processes=processes)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_sigkill(scenes: Path, tmp_path: Path, workers: int) -> None:
    """Killed after some epoch's checkpoint; the half epoch since is trained again."""
    recipe = ("--epochs", 14, "--eval-every", 5, "--workers", workers)
    straight(tmp_path / "straight", scenes, *recipe)
    folder = tmp_path / "killed"
    process = start("--data", scenes, "--out", folder, *SMALL, *recipe)
    wait_for(folder / "metrics.csv", process)  # Some epochs are over by then.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert state["global_step"] < 14 * 4, "the run was over before it was killed"
    resumed = train("--resume", folder, "--workers", workers)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "straight", folder)


@pytest.mark.slow
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
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert f"go on with --resume {folder}" in errors
    assert "Traceback" not in errors
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert 0 < state["global_step"] < 80
    assert not list(folder.glob(".*"))
    resumed = train("--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "straight", folder)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["last batch", "evaluation"])
def test_signals_where_an_epoch_ends(
    scenes: Path, tmp_path: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Between an epoch's last batch and its evaluation nothing can be saved: little is lost."""
    recipe = (*SMALL, "--epochs", 2, "--eval-every", 2, "--workers", 0, "--threads", 1)
    one, two = tmp_path / "straight", tmp_path / "stopped"
    assert tool("train_det", "--data", scenes, "--out", one, *recipe)[0] == 0
    name = "training_step" if place == "last batch" else "validation_step"
    step = getattr(NetworkTask, name)

    def signalled(self: NetworkTask, batch: Any, batch_idx: int) -> Any:
        if name == "validation_step" or self.global_step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(NetworkTask, name, signalled)
    status, _, err = tool("train_det", "--data", scenes, "--out", two, *recipe)
    monkeypatch.undo()
    assert status == 1
    assert f"go on with --resume {two}" in err
    assert torch.load(two / "last.ckpt", weights_only=True)["global_step"] == 7
    again = train("--resume", two, "--workers", 0)
    assert again.returncode == 0, again.stderr
    assert_same_run(one, two)


@pytest.mark.slow
def test_another_number_of_processes_is_refused(scenes: Path, tmp_path: Path) -> None:
    recipe = ("--epochs", 2, "--eval-every", 9, "--batch-size", 3, "--workers", 0)
    straight(tmp_path, scenes, *recipe)
    config = json.loads((tmp_path / "config.json").read_text())
    config["fit"]["epochs"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused = train("--resume", tmp_path, "--workers", 0, processes=2)
    assert refused.returncode != 0
    assert "8 batches per epoch and process, now there are 4" in refused.stderr


@pytest.mark.slow
def test_two_processes(scenes: Path, tmp_path: Path) -> None:
    """Data-parallel training under torchrun, killed and resumed."""
    recipe = ("--epochs", 10, "--eval-every", 5, "--batch-size", 3, "--workers", 1)
    straight(tmp_path / "straight", scenes, *recipe, processes=2)
    folder = tmp_path / "killed"
    process = start("--data", scenes, "--out", folder, *SMALL, *recipe, processes=2)
    wait_for(folder / "metrics.csv", process)  # Some epochs are over by then.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    resumed = train("--resume", folder, processes=2)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "straight", folder)


@pytest.mark.slow
def test_killed_before_or_at_the_first_checkpoint(
    shapes: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing but its configuration, or the checkpoint of step 0, a run ends all the same."""
    recipe = ("--size", 32, "--alpha", 0.1, "--batch-size", 8, "--epochs", 2, "--workers", 0)
    args = ("--data", shapes, "--preset", "demo", *recipe, "--threads", 1)
    one, two, three = (tmp_path / name for name in ("straight", "stopped", "begun"))
    assert tool("train_cls", *args, "--out", one, report=False)[0] == 0
    with monkeypatch.context() as patch:
        stop_at(0, patch)
        assert tool("train_cls", *args, "--out", two, report=False)[0] == 1
    assert torch.load(two / "last.ckpt", weights_only=True)["global_step"] == 0
    three.mkdir()
    shutil.copy(two / "config.json", three)
    for folder, says in ((two, ""), (three, "stopped before its first checkpoint")):
        status, _, err = tool("train_cls", "--resume", folder, report=False)
        assert status == 0, err
        assert says in err
        assert_same_run(one, folder)
    state = torch.load(three / "last.ckpt", weights_only=True)
    others = {
        "state_dict": {"x": torch.zeros(1)},
        "optimizer_states": [{"state": {}, "param_groups": []}],
    }
    for name, other in others.items():
        torch.save({**state, name: other}, three / "last.ckpt")
        status, _, err = tool("train_cls", "--resume", three, report=False)
        assert status == 2
        assert f"{three / 'last.ckpt'}: not a checkpoint of this run" in err
    (three / "last.ckpt").unlink()
    status, _, err = tool("train_cls", "--resume", three, report=False)
    assert status == 2
    assert "no last.ckpt to resume from, and beginning anew would write over" in err


def test_what_is_not_given_anew_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads add up in another order: a resume without --threads keeps the run's."""
    common = Common(threads=1, device="cpu", seed=3, out=tmp_path)
    save_config(replace(TrainCls(), workers=0, common=common), tmp_path)

    def again(*flags: str, config: TrainCls) -> TrainCls:
        monkeypatch.setattr(sys, "argv", ["tools/train_cls.py", f"--resume={tmp_path}", *flags])
        return resumed(config, tmp_path)

    found = again(config=TrainCls())
    assert (found.common, found.workers) == (common, 0)
    new = replace(TrainCls(), workers=2, common=Common(threads=2, json=True))
    found = again("--threads", "2", "--workers=2", "--json", config=new)
    assert (found.common, found.workers) == (replace(common, threads=2, json=True), 2)


def test_several_processes_need_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would name one by the second in which it came here."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--out is needed with several processes"):
        new_run_folder(Common(), "demo")
    assert new_run_folder(Common(out=tmp_path), "demo") == tmp_path


@pytest.mark.slow
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
