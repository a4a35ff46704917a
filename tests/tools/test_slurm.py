"""Trainings in jobs of SLURM, whose variables are set here as it sets them."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch

from datasets.errors import InputError
from tests.conftest import Tool
from tests.house import ROOT
from tests.tools.runs import SMALL, assert_same_run, train
from tools import cli
from tools.flows.slurm import join_srun

RECIPE = (*SMALL, "--epochs", 2, "--eval-every", 1, "--augment", "ssd", "--threads", 1)
# A batch script of two tasks, as its own process sees it.
JOB = {
    **{"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2"},
    **{"SLURM_NNODES": "1", "SLURM_NODELIST": "n1", "SLURM_CPUS_PER_TASK": "1"},
    **{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
}
_JOINED = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)


def step(tasks: int, nodes: int = 1, **more: object) -> dict[str, str]:
    """Variables of srun in that job."""
    told = {"STEP_ID": 0, "STEP_NUM_TASKS": tasks, "STEP_NUM_NODES": nodes, **more}
    return {**JOB, **{f"SLURM_{name}": str(value) for name, value in told.items()}}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> "pytest.MonkeyPatch":
    """An environment in which nothing has started this process; it is restored afterwards."""
    for name in (*_JOINED, *(name for name in os.environ if name.startswith("SLURM_"))):
        monkeypatch.setenv(name, "")  # So that what the code sets is removed, too.
        monkeypatch.delenv(name)
    return monkeypatch


def set_all(patch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        patch.setenv(name, value)


def test_tasks_of_two_machines_are_processes(joined: pytest.MonkeyPatch) -> None:
    own = {"PROCID": 3, "LOCALID": 1, "NODEID": 1, "STEP_NODELIST": "gpu[03-05,9],other"}
    set_all(joined, step(4, 2, **own))
    join_srun()
    values = ("3", "1", "4", "2", "1", "2", "gpu03", "19711")
    assert tuple(os.environ[name] for name in _JOINED) == values


def test_the_first_says_where_it_waits(
    joined: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_all(joined, step(2, STEP_NODELIST="a[1-2]"))
    join_srun()
    assert "srun's 2 tasks are the processes" in (told := capsys.readouterr().err)
    assert "they meet at a1:19711" in told


@pytest.mark.parametrize(
    "variables",
    [
        {},
        JOB,
        step(1),
        {**step(2), "SLURM_JOB_NAME": "interactive"},
        {**step(2), "RANK": "0"},
    ],
)
def test_nothing_else_is_several_processes(
    joined: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    set_all(joined, variables)
    join_srun()
    assert "WORLD_SIZE" not in os.environ


def test_uneven_tasks_and_damaged_variables_are_refused(joined: pytest.MonkeyPatch) -> None:
    for nodes in (2, 0):
        set_all(joined, step(3, nodes))
        with pytest.raises(InputError, match=f"3 tasks on {nodes} machines; give each machine"):
            join_srun()
    set_all(joined, step(2, PROCID=2))
    with pytest.raises(InputError, match="SLURM_PROCID=2: is beyond SLURM_STEP_NUM_TASKS=2"):
        join_srun()
    set_all(joined, {**step(2), "SLURM_PROCID": "first"})
    with pytest.raises(InputError, match="SLURM_PROCID=first: is no number"):
        join_srun()


def test_the_cores_of_a_task_are_its_own(joined: pytest.MonkeyPatch) -> None:
    joined.setenv("SLURM_CPUS_PER_TASK", "6")
    assert cli.choose_workers(-1) == 3
    assert cli.choose_workers(0) == 0


@pytest.mark.slow
def test_a_job_of_one_process_stops_before_its_time_is_over(
    joined: pytest.MonkeyPatch, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    """Called without srun in a job of two tasks; its loader's process gets the signal as well."""
    args = ("--data", scenes, *RECIPE, "--workers", 1)
    status, _, err = tool(
        "train_det", *args, "--out", tmp_path / "one", "--device", "cpu", report=False
    )
    assert status == 0, err
    two = tmp_path / "two"
    stopped = train(*args, "--out", two, signal_at=(1, signal.SIGUSR1), ranks=[JOB], report=False)
    assert stopped.returncode == 1
    assert f"go on with --resume {two}" in stopped.stderr
    assert not list(tmp_path.rglob("hpc_ckpt*"))
    set_all(joined, step(1))
    status, _, err = tool("train_det", "--resume", two, report=False)
    assert status == 0, err
    assert_same_run(tmp_path / "one", two)


@pytest.mark.slow
def test_two_tasks_of_srun_are_one_training(scenes: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{**step(2, PROCID=k, LOCALID=k), **address} for k in range(2)]
    args = ("--data", scenes, "--out", tmp_path, *RECIPE, "--workers", 0)
    done = train(*args, ranks=ranks, report=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights:") == 1
    steps = torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"]
    assert steps == 4, "two epochs of two batches for each process"
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]


def test_the_documented_script_requeues_and_resumes(tmp_path: Path) -> None:
    """With stand-ins for SLURM's commands, and for the training: it waits for its signal."""
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    script = re.search(r"```bash\n(.*?)```", page, re.DOTALL)
    assert script is not None
    (tmp_path / "job.sh").write_text(script[1])
    commands = {
        "srun": 'exec "$@"',
        "scontrol": 'echo "$@" >> requeued',
        "python": (
            'echo "$@" >> calls; case "$*" in *--resume*) exit;; esac; mkdir -p runs/mine\n'
            'trap "echo saved >> calls; exit 1" USR1; touch runs/mine/config.json\n'
            "while :; do sleep .05; done"
        ),
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "47"}
    for _ in range(2):
        with subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=variables) as job:
            while job.poll() is None and not (tmp_path / "runs/mine/config.json").exists():
                time.sleep(0.02)
            if not (tmp_path / "requeued").exists():
                job.send_signal(signal.SIGUSR1)
            assert job.wait(60) == 0
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "47"]
    first, saved, again = (tmp_path / "calls").read_text().splitlines()
    assert first == "tools/train_cls.py --data PATH --out runs/mine"
    assert (saved, again) == ("saved", "tools/train_cls.py --resume runs/mine")
