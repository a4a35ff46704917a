"""The progress display of a training."""

from __future__ import annotations

import os
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from tasks.fitting.base import Task

# An evaluation is redrawn at most once in this many seconds.
_REDRAW_SECONDS = 0.2


class TotalProgress(ProgressBar):
    """One bar over all steps of the run, with the remaining time, on standard error.

    Evaluations count their batches on the same line, in place of the label. A second bar below the
    first would have to move the cursor up again, which leaves blank lines and escape sequences
    where that is not supported: in logs, notebooks and simple consoles.
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self._bar: tqdm[Any] | None = None
        self._batches = 0
        self._drawn_at = 0.0

    def disable(self) -> None:
        """Show nothing: Lightning calls it on all processes but the first."""
        self.label = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the present step of the run."""
        assert isinstance(pl_module, Task)
        self._bar = tqdm(
            desc=self.label,
            total=pl_module.total_steps,
            initial=trainer.global_step,
            unit="step",
            disable=not self.label,
            # A width that is set is kept: when measured again, such a terminal may have none.
            dynamic_ncols="TQDM_NCOLS" not in os.environ,
            smoothing=0.05,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Advance."""
        if self._bar is not None:
            self._bar.update(trainer.global_step - self._bar.n)
            if trainer.global_step % 5 == 0:
                assert isinstance(trainer.lightning_module, Task)
                shown = {"epoch": str(trainer.current_epoch + 1)}
                for name in ("loss", trainer.lightning_module.monitor):
                    if name in trainer.callback_metrics:
                        shown[name] = f"{float(trainer.callback_metrics[name]):.3f}"
                self._bar.set_postfix(shown, refresh=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show that the evaluation begins."""
        self._batches = 0
        self._show_evaluation(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Count the batch."""
        self._batches += 1
        if time.monotonic() - self._drawn_at >= _REDRAW_SECONDS:
            self._show_evaluation(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show only the training again."""
        if self._bar is not None:
            self._bar.set_description(self.label)

    def on_exception(self, *_: Any) -> None:
        """End the line before the exception is reported."""
        if self._bar is not None:
            self._bar.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        self.on_exception()

    def _show_evaluation(self, trainer: pl.Trainer) -> None:
        if self._bar is not None:
            total = sum(int(n) for n in trainer.num_val_batches)
            self._bar.set_description(f"evaluating {self._batches}/{total}")
            self._drawn_at = time.monotonic()
