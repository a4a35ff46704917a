"""Training steps of a classifier, whose images may grow during training."""

from __future__ import annotations

from torch.nn import functional

from datasets.types import LabelBatch
from tasks.classification.model import Classifier
from tasks.fitting.network_task import NetworkTask


class ClassificationTask(NetworkTask):
    """A classifier's training: its images may be small at first (``--progressive``)."""

    model: Classifier

    def on_after_batch_transfer(self, batch: LabelBatch, dataloader_idx: int) -> LabelBatch:
        """Shrink training images to the resolution of this step."""
        model = self.model
        if self.trainer.training and model.loss.progressive < 1:
            size = resolution_at(
                self.global_step / self.total_steps,
                start=model.loss.progressive,
                full=model.spec.size,
                least=model.body.min_size,
            )
            if size < batch["images"].shape[-1]:
                batch["images"] = functional.interpolate(
                    batch["images"].float(), size=size, mode="bilinear", antialias=True
                )
        return super().on_after_batch_transfer(batch, dataloader_idx)  # type: ignore[no-any-return]


def resolution_at(progress: float, *, start: float, full: int, least: int) -> int:
    """Side of the training images, in pixels, at a point of the run.

    It grows linearly to the full side over the first three quarters, in steps of 8 pixels
    (progressive resizing, as in EfficientNetV2).

    Args:
        progress: Point of the run in 0..1.
        start: Share of the full side at the start.
        full: Full side in pixels.
        least: Smallest side in pixels.
    """
    share = min(1.0, start + (1 - start) * progress / 0.75)
    return full if share == 1 else min(full, max(least, round(full * share / 8) * 8))
