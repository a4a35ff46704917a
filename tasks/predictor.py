"""What running a trained model over a loader takes, whatever its task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import TypeVar, cast

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.types import PhotoBatch
from tasks.runtime.exported import Exported
from tasks.runtime.session import Answer

Batch = TypeVar("Batch", bound=Mapping[str, object])


def ready_batches(
    loader: Iterable[Batch], device: str, label: str
) -> Iterator[tuple[Batch, Tensor]]:
    """Yield each batch, and its images (B, 3, S, S) on the device, channels last.

    Args:
        loader: Of batches with ``images``.
        device: To compute on.
        label: Of the progress bar.
    """
    total = len(loader) if isinstance(loader, Sized) else None
    for batch in tqdm(loader, label, total, unit="batch", mininterval=0.5):
        images = cast("Tensor", batch["images"]).to(device)
        yield batch, images.contiguous(memory_format=torch.channels_last)


def exported_answers(
    exported: Exported, loader: Iterable[PhotoBatch], label: str
) -> Iterator[tuple[list[int], list[Answer]]]:
    """Yield image ids of each batch of photos and an export's answers.

    Args:
        exported: The export.
        loader: Of photos as they are.
        label: Of the progress bar.
    """
    total = len(loader) if isinstance(loader, Sized) else None
    for batch in tqdm(loader, label, total, unit="batch", mininterval=0.5):
        yield batch["image_ids"], exported(batch["images"])
