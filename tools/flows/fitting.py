"""Training in a run folder, whatever the task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from datasets.loader import Resumable
from tasks.fitting.base import Task
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.engine import fit
from tasks.fitting.stopwatch import Stopwatch
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME


def fit_and_keep(
    task: Task,
    loader: Resumable[Any],
    val_loader: Resumable[Any],
    card: Card,
    *,
    folder: Path,
    device: str,
    resume: bool,
    watch: Stopwatch,
    training_only: str | tuple[str, ...] | None = None,
) -> None:
    """Train in a run folder, with the weights of the best evaluation in its weights file.

    Args:
        task: What to train.
        loader: Of training batches.
        val_loader: Of validation batches.
        card: Of the weights; it gets their metrics.
        folder: Of the run.
        device: To compute on.
        resume: Go on from the folder's checkpoint.
        watch: Of the run; it goes on from what the checkpoint tells.
        training_only: Beginning, or beginnings, of the names of tensors that stay out of the
            weights file.

    Raises:
        InterruptedRun: If a signal stopped it, after saving; it says how to go on.
    """

    def write_best(state: dict[str, Tensor], metrics: dict[str, float]) -> None:
        kept = {
            name: tensor
            for name, tensor in state.items()
            if training_only is None or not name.startswith(training_only)
        }
        save_weights(folder / WEIGHTS_NAME, kept, replace(card, metrics=metrics))

    try:
        fit(
            task,
            loader,
            val_loader,
            folder=folder,
            device=device,
            resume=resume,
            write_best=write_best,
            watch=watch,
        )
    except InterruptedRun:
        raise InterruptedRun(
            f"stopped and saved to {folder / LAST_NAME}; go on with --resume {folder}"
        ) from None
    finally:
        loader.close()
        val_loader.close()
