"""Tasks that SLURM's srun has started, as processes of one training."""

from __future__ import annotations

import os
import re

from datasets.errors import InputError
from tools import cli

# Jobs of these names are shells of people; what they start by hand is no task (as in Lightning).
_SHELLS = ("bash", "interactive")
_FIRST_PORT = 15000


def join_srun() -> None:
    """Describe srun's tasks by the variables with which torchrun describes its processes.

    Nothing is changed outside a step of several tasks, in an interactive shell, or below torchrun.
    A batch script's own process belongs to no step, however many tasks the job may have.

    Raises:
        InputError: If srun's variables are incomplete.
    """
    told = os.environ
    if "RANK" in told or told.get("SLURM_JOB_NAME") in _SHELLS:
        return
    tasks = _number("SLURM_STEP_NUM_TASKS", 1)
    if tasks < 2:
        return
    nodes = _number("SLURM_STEP_NUM_NODES", 1)
    if not nodes or tasks % nodes:
        raise InputError(
            f"srun started {tasks} tasks on {nodes} machines; give each machine as many: "
            "--ntasks-per-node N"
        )
    rank = _number("SLURM_PROCID")
    if rank >= tasks:
        raise InputError(f"SLURM_PROCID={rank}: is beyond SLURM_STEP_NUM_TASKS={tasks}")
    # node[03-05,9],other: the first machine.
    first = re.sub(r"\[([^],-]*)[^]]*\]", r"\1", told.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    found = {
        "RANK": rank,
        "LOCAL_RANK": _number("SLURM_LOCALID"),
        "WORLD_SIZE": tasks,
        "LOCAL_WORLD_SIZE": tasks // nodes,
        "GROUP_RANK": _number("SLURM_NODEID", 0),
        "GROUP_WORLD_SIZE": nodes,
        "MASTER_ADDR": told.get("MASTER_ADDR", first.split(",")[0]),
        "MASTER_PORT": told.get("MASTER_PORT", _FIRST_PORT + _number("SLURM_JOB_ID", 0) % 10000),
    }
    os.environ.update({name: str(value) for name, value in found.items()})
    # The first that comes waits for the others, for half an hour.
    where = f"{found['MASTER_ADDR']}:{found['MASTER_PORT']}"
    cli.say(f"srun's {tasks} tasks are the processes of one training; they meet at {where}")


def _number(name: str, usual: int | None = None) -> int:
    text = os.environ.get(name)
    if text is None and usual is not None:
        return usual
    if text is None or not text.isdecimal():
        raise InputError(
            f"{name}={text}: is no number, though srun started this process as one of several "
            "tasks; start the command with srun or torchrun, or unset SLURM_STEP_NUM_TASKS"
        )
    return int(text)
