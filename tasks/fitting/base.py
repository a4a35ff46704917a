"""The common base of all tasks as Lightning modules: optimiser, schedule, layout, NaN guard."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from datasets.errors import InputError
from tasks.fitting.optim import body_of, make_optimizer, rate_factor
from tasks.fitting.spec import FitSpec

# Includes the synchronised ones that replace the others while several processes train.
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


class Task(pl.LightningModule):
    """Trains a model whose ``model(images, targets)`` returns a dict of losses.

    Its ``networks`` names the methods that only run the network, which ``--compile`` compiles.

    Attributes:
        monitor: Metric by which the best weights are selected, higher is better; None keeps those
            of the last evaluation.
        epoch_steps: Number of batches per epoch and process, which the schedule needs.
    """

    monitor: str | None

    def __init__(self, model: nn.Module, fit: FitSpec, seed: int) -> None:
        super().__init__()
        self.model, self.fit_spec, self.seed = model, fit, seed
        self.epoch_steps = 0
        self._holds_body = False
        if fit.channels_last:
            model.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Task:
        """Switch to training, but leave frozen batch norms in evaluation."""
        super().train(mode)
        if self.fit_spec.freeze_bn or self._holds_body:
            frozen = self.model if self.fit_spec.freeze_bn else body_of(self.model)
            for module in frozen.modules():
                if isinstance(module, BATCH_NORMS):
                    module.eval()
        return self

    def hold_body(self, hold: bool) -> None:
        """Keep the body's weights and statistics fixed, or let them learn."""
        self._holds_body = hold
        body_of(self.model).requires_grad_(not hold)
        self.train()

    def on_fit_start(self) -> None:
        """Set the momentum of statistics: a short run must not end with its initial ones."""
        momentum = min(1.0, max(self.fit_spec.bn_momentum, 10 / self.total_steps))
        for module in self.model.modules():
            if isinstance(module, BATCH_NORMS):
                module.momentum = momentum

    @property
    def total_steps(self) -> int:
        """Number of steps in the run; the last step of an epoch may be on fewer batches."""
        return self.fit_spec.epochs * -(-self.epoch_steps // self.fit_spec.accumulate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the length of an epoch."""
        checkpoint["epoch_steps"] = self.epoch_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the length of an epoch. Raises InputError if it has changed."""
        if checkpoint["epoch_steps"] != self.epoch_steps:
            raise InputError(
                f"the run had {checkpoint['epoch_steps']} batches per epoch and process, now "
                f"there are {self.epoch_steps}: go on with the same data on the same number of "
                "processes"
            )

    def configure_optimizers(self) -> Any:
        """Optimiser and per-step schedule."""
        optimizer = make_optimizer(self.model, self.fit_spec)
        schedule = LambdaLR(optimizer, rate_factor(self.fit_spec, self.total_steps))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Give the images the memory layout of the network; a loader has its own."""
        last = self.fit_spec.channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        batch["images"] = batch["images"].contiguous(memory_format=layout)
        return batch

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed all that the network draws, by step, so that a resumed run draws the same.

        The body is also fixed or released here: a run that resumes within an epoch gets no signal
        that the epoch starts.
        """
        hold = self.current_epoch < self.fit_spec.frozen_epochs
        if hold != self._holds_body:
            self.hold_body(hold)
        part = batch_idx % self.fit_spec.accumulate
        place = (self.seed, self.global_step, self.global_rank, *((part,) if part else ()))
        torch.manual_seed(hash(place) % 2**63)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The model's losses on a batch, by name."""
        losses: dict[str, Tensor] = self.model(batch["images"], batch["targets"])
        return losses

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Sum of the losses. Raises FloatingPointError naming the images if it is not a number."""
        losses = self.losses(batch)
        loss = torch.stack(list(losses.values())).sum()
        if not loss.isfinite():
            raise FloatingPointError(
                "the loss is not a number any more; the learning rate may be too high (--lr), "
                f"or an image of this batch damaged: {', '.join(batch['files'])}"
            )
        count = len(batch["files"])
        self.log("loss", loss.detach(), prog_bar=True, batch_size=count, sync_dist=True)
        for name, value in losses.items():
            self.log(f"loss_{name}", value.detach(), batch_size=count, sync_dist=True)
        return loss


def compile_network(task: Task, enabled: bool) -> None:
    """Compile the model's networks, leaving its losses and post-processing eager."""
    if enabled:
        names: tuple[str, ...] = task.model.networks  # type: ignore[assignment]
        for name in names:
            setattr(task.model, name, torch.compile(getattr(task.model, name)))
