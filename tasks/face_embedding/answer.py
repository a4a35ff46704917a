"""Running a trained embedding network, over a loader or over pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.layers import fold_batchnorm
from datasets.types import LabelBatch, PhotoBatch
from tasks.face_embedding.model import FaceEmbedder, unit
from tasks.predictor import exported_answers, ready_batches
from tasks.runtime.exported import Exported

Image = NDArray[np.uint8]


def embed(
    model: FaceEmbedder | Exported,
    loader: Iterable[LabelBatch] | Iterable[PhotoBatch],
    device: str,
    label: str,
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield image ids and embeddings (B, D) of length one of each batch.

    Args:
        model: In evaluation mode.
        loader: Of batches; for an export, of photos as they are.
        device: To compute on.
        label: Of the progress bar.
    """
    if isinstance(model, Exported):
        photos = cast("Iterable[PhotoBatch]", loader)
        for image_ids, answers in exported_answers(model, photos, label):
            yield image_ids, torch.from_numpy(np.stack([a["embedding"] for a in answers]))
        return
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for batch, images in ready_batches(cast("Iterable[LabelBatch]", loader), device, label):
        with torch.inference_mode():
            embeddings = unit(model.raw(images))
        yield batch["image_ids"], embeddings


class FacePredictor:
    """A network made ready for pictures of any size: folded, on its device.

    Args:
        model: To be copied.
        device: To compute on.
        fit: Brings a picture to the model's square input.
    """

    def __init__(self, model: FaceEmbedder, device: str, fit: Callable[[Image], Image]) -> None:
        self.device, self.fit = device, fit
        self._model = fold_batchnorm(model)
        self._model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Embeddings (D,) of length one of some (H, W, 3) RGB pictures."""
        if not images:
            return []
        squares = np.stack([self.fit(image) for image in images])
        batch = torch.from_numpy(squares).permute(0, 3, 1, 2).to(self.device)
        with torch.inference_mode():
            return list(unit(self._model.raw(batch)).cpu().numpy())


class ExportedFaces:
    """An export in the place of a :class:`FacePredictor`.

    Args:
        exported: Of an embedding network.
    """

    def __init__(self, exported: Exported) -> None:
        self._exported = exported

    def __call__(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Embeddings (D,) of length one of some (H, W, 3) RGB pictures."""
        return [answer["embedding"] for answer in self._exported(images)]


class Neighbour(NamedTuple):
    """A photo beside another one.

    Attributes:
        photo: Index in the gallery.
        distance: Squared, 0..4.
    """

    photo: int
    distance: float


def nearest(
    vectors: NDArray[np.float32],
    gallery: NDArray[np.float32],
    top: int,
    *,
    itself: bool,
) -> list[list[Neighbour]]:
    """The nearest photos of a gallery for each photo, nearest first.

    Args:
        vectors: (N, D) float32 of length one.
        gallery: (M, D) float32 of length one.
        top: How many; fewer where the gallery has fewer.
        itself: The gallery are the same photos in the same order: pass over the photo itself.
    """
    distances = np.clip(2 - 2 * vectors @ gallery.T, 0, 4)
    if itself:
        np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, : min(top, len(gallery) - itself)]
    return [
        [Neighbour(int(k), float(distances[row, k])) for k in found]
        for row, found in enumerate(order)
    ]
