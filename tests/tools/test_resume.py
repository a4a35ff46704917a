"""A run that was killed, anyhow and anywhere, ends as if it had not been."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.classification import TrainCls
from configs.common import Common
from tasks.fitting.network_task import NetworkTask
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import SMALL, assert_same_run, straight_run, train
from tests.tools.stopping import stop_at
from tools.flows.run_folder import new_run_folder, resumed, save_config

RECIPE = (*SMALL, "--epochs", 3, "--eval-every", 2, "--augment", "ssd", "--threads", 1)


@pytest.fixture(scope="module")
def straight(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three epochs of four batches, in one go."""
    args = ("--data", scenes, *RECIPE, "--workers", 0, "--device", "cpu")
    with straight_run("train_det", tmp_path_factory, *args, report=False) as folder:
        yield folder


def step_of(folder: Path) -> int:
    return int(torch.load(folder / "last.ckpt", weights_only=True)["global_step"])


@pytest.mark.slow
def test_sigkill(straight: Path, scenes: Path, tool: Tool, tmp_path: Path) -> None:
    """Killed within an epoch, which is trained again from the checkpoint before it."""
    args = ("--data", scenes, "--out", tmp_path, *RECIPE, "--workers", 2)
    killed = train(*args, signal_at=(6, signal.SIGKILL))
    assert killed.returncode == -signal.SIGKILL
    assert step_of(tmp_path) == 4
    status, _, err = tool("train_det", "--resume", tmp_path, "--workers", 0, report=False)
    assert status == 0, err
    assert_same_run(straight, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 1), (signal.SIGINT, 6)])
def test_signals_save_within_the_epoch(
    straight: Path, scenes: Path, tool: Tool, tmp_path: Path, number: signal.Signals, step: int
) -> None:
    """The checkpoint lies between two of its batches; the loader's process is signalled, too."""
    args = ("--data", scenes, "--out", tmp_path, *RECIPE, "--workers", 1)
    stopped = train(*args, signal_at=(step, number))
    assert stopped.returncode == 1
    assert f"go on with --resume {tmp_path}" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert step_of(tmp_path) == step + 1
    assert not list(tmp_path.glob(".*"))
    status, _, err = tool("train_det", "--resume", tmp_path, report=False)
    assert status == 0, err
    assert_same_run(straight, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["last batch", "evaluation"])
def test_signals_where_an_epoch_ends(
    straight: Path,
    scenes: Path,
    tmp_path: Path,
    tool: Tool,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """Between an epoch's last batch and its evaluation nothing can be saved: little is lost."""
    name = "training_step" if place == "last batch" else "validation_step"
    step = getattr(NetworkTask, name)

    def signalled(self: NetworkTask, batch: Any, batch_idx: int) -> Any:
        if name == "validation_step" or self.global_step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(NetworkTask, name, signalled)
    args = ("--data", scenes, "--out", tmp_path, *RECIPE, "--workers", 0, "--device", "cpu")
    status, _, err = tool("train_det", *args, report=False)
    monkeypatch.undo()
    assert status == 1
    assert f"go on with --resume {tmp_path}" in err
    assert step_of(tmp_path) == 7
    status, _, err = tool("train_det", "--resume", tmp_path, report=False)
    assert status == 0, err
    assert_same_run(straight, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_between_the_batches_of_a_step_nothing_is_saved(
    scenes: Path, tool: Tool, tmp_path: Path, number: signal.Signals
) -> None:
    """Steps of three batches, and of the last one of the epoch: six in three epochs."""
    args = ("--data", scenes, *RECIPE, "--workers", 0, "--device", "cpu", "--accumulate", 3)
    status, _, err = tool("train_det", *args, "--out", tmp_path / "straight", report=False)
    assert status == 0, err
    stopped = train(*args, "--out", tmp_path / "run", signal_at=(2, number))
    assert stopped.returncode == (1 if number == signal.SIGTERM else -number)
    assert step_of(tmp_path / "run") == (3 if number == signal.SIGTERM else 2)
    status, _, err = tool("train_det", "--resume", tmp_path / "run", report=False)
    assert status == 0, err
    assert step_of(tmp_path / "run") == 6
    assert_same_run(tmp_path / "straight", tmp_path / "run")


@pytest.mark.slow
def test_another_number_of_processes_is_refused(straight: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(straight, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["fit"]["epochs"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    refused = train("--resume", folder, processes=2)
    assert refused.returncode == 2
    assert "4 batches per epoch and process, now there are 2" in refused.stderr


@pytest.mark.slow
def test_two_processes(scenes: Path, tmp_path: Path) -> None:
    """Data-parallel training, killed within an epoch and resumed."""
    recipe = ("--data", scenes, *RECIPE, "--epochs", 2, "--batch-size", 3, "--workers", 0)
    one, two = tmp_path / "straight", tmp_path / "killed"
    done = train(*recipe, "--out", one, processes=2, report=False)
    assert done.returncode == 0, done.stderr
    killed = train(*recipe, "--out", two, processes=2, signal_at=(6, signal.SIGKILL))
    assert killed.returncode == -signal.SIGKILL
    assert step_of(two) == 4
    done = train("--resume", two, "--workers", 1, processes=2, report=False)
    assert done.returncode == 0, done.stderr
    assert_same_run(one, two)


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
    others: dict[str, Any] = {
        "state_dict": {"x": torch.zeros(1)},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "callbacks": [1],
        "epoch": "x",
    }
    for name, other in others.items():
        torch.save({**state, name: other}, three / "last.ckpt")
        status, _, err = tool("train_cls", "--resume", three, report=False)
        assert status == 2
        assert f"{three / 'last.ckpt'}: not a checkpoint of this run ({name}" in err
    torch.save(state, three / "last.ckpt")
    with monkeypatch.context() as patch:
        patch.setattr(NetworkTask, "on_fit_start", lambda _: dict[str, int]()["a fault"])
        status, _, err = tool("train_cls", "--resume", three, report=False)
    assert status == 1
    assert "Traceback" in err
    assert "KeyError: 'a fault'" in err
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
def test_a_resume_takes_no_other_recipe(straight: Path, scenes: Path, tool: Tool) -> None:
    expect(
        tool("train_det", "--resume", straight, "--lr", "1"), "--lr cannot be changed on resume"
    )
    again = tool("train_det", "--data", scenes, "--out", straight, *SMALL)
    expect(again, f"go on with it by --resume {straight}")
    expect(tool("train_det", "--resume", straight / "none"), "no config.json there")
