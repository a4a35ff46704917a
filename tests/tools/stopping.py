"""Trainings that stop at a step."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tasks.fitting.network_task import NetworkTask


def stop_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Have trainings stop before a step."""
    inner = NetworkTask.on_train_batch_start

    def fail(self: NetworkTask, batch: Any, batch_idx: int) -> None:
        if self.global_step == step:
            raise KeyboardInterrupt
        inner(self, batch, batch_idx)

    patch.setattr(NetworkTask, "on_train_batch_start", fail)


def signal_at(
    step: int,
    patch: pytest.MonkeyPatch,
    task: Any = NetworkTask,
    number: signal.Signals = signal.SIGTERM,
    *,
    group: bool = False,
) -> None:
    """Have trainings get a signal within a step; with ``group`` the loader's processes, too."""
    inner = task.training_step
    done = False

    def signalled(self: Any, batch: Any, batch_idx: int) -> Any:
        nonlocal done
        if self.global_step == step and not done:
            done = True  # A second one would end it at once.
            os.killpg(0, number) if group else os.kill(os.getpid(), number)
        return inner(self, batch, batch_idx)

    patch.setattr(task, "training_step", signalled)
