"""Running a trained classifier, over a loader or over pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.layers import fold_batchnorm
from datasets.types import ClassMap, LabelBatch
from tasks.classification.model import Classifier
from tasks.inference import ready_batches


class Answer(NamedTuple):
    """The most likely classes of a picture, best first.

    Attributes:
        names: Of the classes.
        probabilities: In 0..1.
    """

    names: list[str]
    probabilities: list[float]


def classify(
    model: Classifier, loader: Iterable[LabelBatch], device: str, label: str
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield image ids and logits (B, C) of each batch, the latter on the device.

    Args:
        model: In evaluation mode.
        loader: Of batches.
        device: To compute on.
        label: Of the progress bar.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for batch, images in ready_batches(loader, device, label):
        with torch.inference_mode():
            logits = model.raw(images)
        yield batch["image_ids"], logits


class LabelPredictor:
    """A classifier made ready for pictures of any size: folded, on its device.

    Args:
        model: To be copied.
        classes: Its classes.
        device: To compute on.
        fit: Brings a picture to the model's square input.
    """

    def __init__(
        self,
        model: Classifier,
        classes: ClassMap,
        device: str,
        fit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    ) -> None:
        self.classes, self.device, self.fit = classes, device, fit
        self._model = fold_batchnorm(model)
        self._model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[NDArray[np.uint8]], top: int = 5) -> list[Answer]:
        """The most likely classes of some (H, W, 3) RGB pictures.

        Args:
            images: Of any size.
            top: How many classes; fewer where the model knows fewer.
        """
        if not images:
            return []
        squares = np.stack([self.fit(image) for image in images])
        # Stored channels last, which is the layout that the network wants.
        batch = torch.from_numpy(squares).permute(0, 3, 1, 2).to(self.device)
        with torch.inference_mode():
            logits = self._model.raw(batch).float()
            best = logits.softmax(dim=1).topk(min(top, len(self.classes)), dim=1)
        names = self.classes.names
        return [
            Answer([names[column] for column in columns], probabilities)
            for columns, probabilities in zip(
                best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]
