"""Running a trained classifier, over a loader or over pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.layers import fold_batchnorm
from datasets.types import ClassMap, LabelBatch, PhotoBatch
from tasks.classification.model import Classifier
from tasks.predictor import exported_answers, ready_batches
from tasks.runtime.exported import Exported

# The least probability that has a logarithm.
_TINY = 1e-37


class Answer(NamedTuple):
    """The most likely classes of a picture, best first.

    Attributes:
        names: Of the classes.
        probabilities: In 0..1.
    """

    names: list[str]
    probabilities: list[float]


def classify(
    model: Classifier | Exported,
    loader: Iterable[LabelBatch] | Iterable[PhotoBatch],
    device: str,
    label: str,
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield image ids and logits (B, C) of each batch, the latter on the device.

    Args:
        model: In evaluation mode; or an export, whose probabilities become logarithms.
        loader: Of batches; for an export, of photos as they are.
        device: To compute on.
        label: Of the progress bar.
    """
    if isinstance(model, Exported):
        photos = cast("Iterable[PhotoBatch]", loader)
        for image_ids, answers in exported_answers(model, photos, label):
            shares = np.stack([answer["probabilities"] for answer in answers])
            yield image_ids, torch.from_numpy(np.log(np.maximum(shares, _TINY)))
        return
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for batch, images in ready_batches(cast("Iterable[LabelBatch]", loader), device, label):
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


class ExportedLabels:
    """An export in the place of a :class:`LabelPredictor`.

    Args:
        exported: Of a classifier.
    """

    def __init__(self, exported: Exported) -> None:
        self.classes, self._exported = exported.card.classes, exported

    def __call__(self, images: Sequence[NDArray[np.uint8]], top: int = 5) -> list[Answer]:
        """As :meth:`LabelPredictor.__call__`."""
        found = []
        for answer in self._exported(images):
            shares = answer["probabilities"]
            best = np.argsort(-shares, kind="stable")[:top].tolist()
            names = [self.classes.names[column] for column in best]
            found.append(Answer(names, shares[best].tolist()))
        return found
