"""Models as one graph from photos to answers: preparation, network and decoding.

Every graph takes ``images``, (N, H, W, 3) uint8 RGB, photos of one size, whatever it is, and gives
a row for each photo:

==================  ======================================================================
classification      ``probabilities`` (N, C)
geolocation         ``probabilities`` (N, C) of the finest partition's cells
face_attributes     ``probabilities`` (N, A), ``present`` (N, A) bool
face_embedding      ``embedding`` (N, D) of length one
detection           ``boxes`` (N, K, 4) x1 y1 x2 y2 in pixels of the photo, ``scores`` (N, K),
                    ``labels`` (N, K) int64 from 1, best first; a label of 0 is padding
==================  ======================================================================

Of several heads on one trunk (:class:`tasks.multitask.graph.MultiGraph`) each has these, its name
before them: ``classes_probabilities``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backbone.flavour import InputSpec
from backbone.layers import fold_batchnorm
from tasks.classification.model import Classifier
from tasks.detection.model import Detector
from tasks.export.resize import Antialias, CentreSquare, WarpedSquare
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.model import FaceEmbedder, unit
from tasks.geolocation.model import Geolocator

Model = Classifier | Detector | FaceEmbedder
IMAGES = "images"


class AnswerGraph(nn.Module):
    """From photos (N, H, W, 3) uint8 RGB to answers.

    Attributes:
        outputs: Names of what :meth:`forward` gives.
    """

    outputs: tuple[str, ...]


class PhotoGraph(AnswerGraph):
    """What the graphs of all tasks share.

    Args:
        fit: From photos to the network's squares.
        model: The network; a copy of it, with batch norm folded into the convolutions, is kept.
    """

    outputs: tuple[str, ...] = ("probabilities",)
    model: Any  # One of the task's.

    def __init__(self, fit: nn.Module, model: Model) -> None:
        super().__init__()
        self.fit, self.model = fit, fold_batchnorm(model).cpu()
        for layer in self.model.modules():
            if isinstance(layer, nn.ReLU | nn.ReLU6 | nn.LeakyReLU):
                layer.inplace = False  # Nothing is in place in a graph: exporters take long.
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answers for photos (N, H, W, 3) uint8 RGB."""
        return self.decode(self.model.raw(self.fit(images)))

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        """From what the network gives to the answers."""
        raise NotImplementedError


class ClassGraph(PhotoGraph):
    """Probabilities of classes."""

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        """From logits (N, C)."""
        return (raw.float().softmax(dim=1),)


class CellGraph(PhotoGraph):
    """Probabilities of the finest partition's cells.

    Args:
        fit: As :class:`PhotoGraph`.
        model: As :class:`PhotoGraph`.
        temperature: That its logits are divided by.
    """

    model: Geolocator

    def __init__(self, fit: nn.Module, model: Geolocator, temperature: float) -> None:
        super().__init__(fit, model)
        self.temperature = temperature

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        """From the logits of all partitions."""
        return ((self.model.combine(raw) / self.temperature).softmax(dim=1),)


class AttributeGraph(PhotoGraph):
    """Probabilities of attributes, and whether each reaches its threshold."""

    outputs = ("probabilities", "present")
    model: AttributeNet

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        """From logits (N, A)."""
        shares = raw.float().sigmoid()
        return shares, shares >= self.model.thresholds


class EmbeddingGraph(PhotoGraph):
    """Embeddings of faces."""

    outputs = ("embedding",)

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        """From vectors (N, D) of any length."""
        return (unit(raw),)


class BoxGraph(PhotoGraph):
    """Boxes in pixels of the photo, after NMS."""

    outputs = ("boxes", "scores", "labels")
    model: Detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detections in photos (N, H, W, 3) uint8 RGB, as many rows for each, best first."""
        found = self.model(self.fit(images))
        height, width = (torch.scalar_tensor(n, dtype=torch.float32) for n in images.shape[1:3])
        size = torch.stack((width, height, width, height))
        frame = size.max().expand(4) if self.model.spec.keep_aspect else size
        boxes = torch.minimum(found.boxes * frame, size)
        # A box in the fill alone has no area in the picture.
        real = (found.labels > 0) & (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)
        return boxes * real[..., None], found.scores * real, found.labels * real


def make_graph(
    model: Model, seen: InputSpec, *, antialias: Antialias = "operator", temperature: float = 1.0
) -> PhotoGraph:
    """The graph of a model.

    Args:
        model: In evaluation mode.
        seen: How a photo becomes its input, from the card.
        antialias: How the resize is written (see :mod:`tasks.export.resize`).
        temperature: Of a geolocator: what its logits are divided by.
    """
    if isinstance(model, Detector):
        return BoxGraph(WarpedSquare(model.spec.size, model.spec.keep_aspect), model)
    fit = CentreSquare(model.spec.size, seen.crop, seen.interpolation, antialias)
    if isinstance(model, FaceEmbedder):
        return EmbeddingGraph(fit, model)
    if isinstance(model, Geolocator):
        return CellGraph(fit, model, temperature)
    if isinstance(model, AttributeNet):
        return AttributeGraph(fit, model)
    return ClassGraph(fit, model)
