"""What a person watches while it trains."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from tasks.fitting.base import Task


class TotalProgress(ProgressBar):
    """One bar over all steps of the run, with the time left, on standard error.

    Args:
        label: Shown before the bar.
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self._bar: tqdm[Any] | None = None
        self._val: tqdm[Any] | None = None

    def disable(self) -> None:
        """Show nothing: Lightning calls it on all processes but the first."""
        self.label = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar where the run stands."""
        assert isinstance(pl_module, Task)
        self._bar = tqdm(
            desc=self.label,
            total=pl_module.total_steps,
            initial=trainer.global_step,
            unit="step",
            disable=not self.label,
            dynamic_ncols=True,
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
        """Open a second bar for the evaluation."""
        total = sum(int(n) for n in trainer.num_val_batches)
        self._val = tqdm(
            desc="evaluating", total=total, unit="batch", leave=False, disable=not self.label
        )

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Advance the second bar."""
        if self._val is not None:
            self._val.update()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the second bar."""
        if self._val is not None:
            self._val.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
