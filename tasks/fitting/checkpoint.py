"""Checkpoints that survive a kill, a signal and a full disk."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor
from tqdm import tqdm

from backbone.formats.pytorch import load_plain, refuse_compressed
from datasets.errors import InputError
from datasets.lfs import refuse_pointer
from tasks.fitting.base import Task
from tasks.fitting.stopwatch import Stopwatch
from tasks.weights.atomic_write import replacing
from tasks.weights.names import WEIGHTS_NAME

LAST_NAME = "last.ckpt"
# SLURM sends SIGUSR1 before a job's time is over, if asked to.
_STOPPING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if os.name == "posix" else []))


class AtomicCheckpointIO(CheckpointIO):
    """Writes a checkpoint beside the old one and renames it; reads without pickled code.

    Args:
        needed: What a checkpoint must hold; without it some of a run would begin anew, unseen.
        check: Called with what was read; raises InputError if it is of another run.
    """

    def __init__(
        self,
        needed: Sequence[str] = (),
        check: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._needed, self._check = needed, check

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write in one piece, or leave the old file. Raises OSError if it cannot be written."""
        try:
            with replacing(Path(path)) as temporary:
                torch.save(checkpoint, temporary)
        except RuntimeError as error:  # torch's own writer hides the OSError of a full disk.
            first = str(error).partition("\n")[0]
            raise OSError(
                f"{path}: the checkpoint cannot be written; is the disk full? ({first})"
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint. Raises InputError if it is damaged, naming the file.

        torch leaves out the check sums that the archive holds, so a bit that a disk has lost
        would go into the run unseen.
        """
        refuse_pointer(path)
        try:
            with zipfile.ZipFile(path) as archive:
                refuse_compressed(archive, Path(path))  # Check sums are of what is unpacked.
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"the check sum of {damaged} is another")
            state: dict[str, Any] = load_plain(Path(path))
            for name in self._needed:
                # A network that is trained at one rate throughout has no schedules.
                if name not in state or (state[name] in ([], {}) and name != "lr_schedulers"):
                    raise ValueError(f"it has no {name!r}")
        except Exception as error:  # torch.load raises a dozen kinds for a cut file.
            raise InputError(
                f"{path}: damaged checkpoint ({type(error).__name__}: {error!s:.200}); the best "
                f"weights of the run so far are in {WEIGHTS_NAME} beside it, if it has been "
                "evaluated: start another run from them by --weights, or restore the file"
            ) from error
        if self._check is not None:
            self._check(state)
        return state

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class InterruptedRun(Exception):  # noqa: N818
    """The run was asked to stop, and did so after saving a checkpoint."""


class RunKeeper(Checkpoint):
    """Saves the run: at its start, each epoch, every few minutes, on Ctrl-C, SIGTERM and SIGUSR1.

    It keeps the best weights too.

    Args:
        folder: The run's.
        save_minutes: Longest time between checkpoints within an epoch.
        write_best: Called with the state dict and metrics of each new best evaluation.
        watch: Stopwatch of the run.
        patience: Evaluations in a row without a better one after which the run stops; 0: never.
        accumulate: Batches of a step. Gradients are in no checkpoint, so none is written within.
        pause_after: Epoch, from 1, after whose evaluation the run pauses; None never pauses.
    """

    def __init__(
        self,
        folder: Path,
        save_minutes: float,
        write_best: Callable[[dict[str, Tensor], dict[str, float]], None],
        watch: Stopwatch,
        patience: int = 0,
        accumulate: int = 1,
        pause_after: int | None = None,
    ) -> None:
        self.patience, self.stale, self.accumulate = patience, 0, accumulate
        self.pause_after = pause_after
        self.path, self.seconds = folder / LAST_NAME, save_minutes * 60
        self.write_best, self.watch = write_best, watch
        self.best = float("-inf")
        self._asked = self._stopping = False
        self._saved_at = time.monotonic()
        self._handlers: dict[int, Any] = {}
        self._snapshot: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over Ctrl-C and the like for the time of the training; save a run that begins."""
        # A run that resumes within its last epoch is not told that the epoch starts.
        self.on_train_epoch_start(trainer, pl_module)
        # A program may train in a thread of its own, which no signal reaches.
        is_main = threading.current_thread() is threading.main_thread()
        for number in _STOPPING if is_main else ():
            self._handlers[number] = signal.signal(number, self._ask)
        self._stop_if_stale(trainer)  # A run may have been killed between that and its report.
        self._pause_if_due(trainer, trainer.current_epoch)
        if trainer.global_step == 0 and trainer.ckpt_path is None:
            self._save(trainer)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """First time: stop after this step. Second time: at once."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Give the signals back."""
        self.on_train_end(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate the last epoch, or the last before a pause, whatever the interval is."""
        last = self.pause_after or trainer.max_epochs
        if last and trainer.current_epoch == last - 1:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_start(self, *_: Any) -> None:
        """Raise InterruptedRun if the step before saved to stop; it has been logged by now."""
        if self._stopping:
            raise InterruptedRun

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if asked to stop, which the next batch then does, or if the last save is old.

        Lightning's own way of stopping would first evaluate, for minutes maybe, while whoever
        sent the signal waits to kill. After an epoch's last batch it cannot save: the evaluation
        that follows would be left out on resume. So before the last step a checkpoint is written.
        """
        left = int(trainer.num_training_batches) - 1 - batch_idx
        if left == 0 or (batch_idx + 1) % self.accumulate:
            return
        evaluates = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        old = time.monotonic() - self._saved_at > self.seconds
        self._stopping = self._all_agree(trainer, self._asked)
        is_last = left <= self.accumulate
        if self._stopping or self._all_agree(trainer, old) or (is_last and evaluates):
            self._save(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Raise InterruptedRun if asked to stop: the checkpoint is of one training step before."""
        if self._all_agree(trainer, self._asked):
            raise InterruptedRun

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and stop if asked to. Raises InterruptedRun after saving in that case."""
        self._save(trainer)
        self._stop_if_stale(trainer)
        if trainer.should_stop and trainer.is_global_zero:
            tqdm.write(
                f"stopped after epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: "
                f"{self.stale} evaluations in a row were no better than the best",
                file=sys.stderr,
            )
        self._pause_if_due(trainer, trainer.current_epoch + 1)
        if self._all_agree(trainer, self._asked):
            raise InterruptedRun

    def _pause_if_due(self, trainer: pl.Trainer, epochs: int) -> None:
        """End this process's part of the training once that number of epochs is trained."""
        if self.pause_after is not None and epochs >= self.pause_after:
            trainer.should_stop = True

    def _stop_if_stale(self, trainer: pl.Trainer) -> None:
        """End the training, as if its epochs were over, where evaluations improve no more."""
        if self.patience and self._all_agree(trainer, self.stale >= self.patience):
            trainer.should_stop = True

    @staticmethod
    def _all_agree(trainer: pl.Trainer, wanted: bool) -> bool:
        """All processes must do the same, or they wait for each other forever."""
        if trainer.world_size == 1:
            return wanted
        return bool(trainer.strategy.reduce_boolean_decision(wanted, all=False))

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remember what is being evaluated: the averaged weights are swapped in just now."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Task)
        state = pl_module.model.state_dict()
        self._snapshot = {name: value.detach().cpu().clone() for name, value in state.items()}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights if they are the best so far."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Task)
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if "loss" not in k}
        # Without a metric to choose by, the last evaluation is the best.
        found = self.best if pl_module.monitor is None else metrics[pl_module.monitor]
        self.stale = 0 if found > self.best else self.stale + 1
        if found >= self.best:
            self.best = found
            self.write_best(self._snapshot, metrics)
        self._snapshot = {}

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps of this."""
        return {"best": self.best, "stale": self.stale, "seconds": self.watch.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on with the best, and the time, of before."""
        self.best = state_dict["best"]
        self.stale = int(state_dict.get("stale", 0))
        self.watch.go_on_from(state_dict.get("seconds", 0.0))  # Older checkpoints tell none.
