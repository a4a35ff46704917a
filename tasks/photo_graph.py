"""Models as one graph from images to named outputs: preprocessing, network and decoding.

Every graph takes ``images``, (N, H, W, 3) uint8 RGB, images of one arbitrary size, and returns its
application's outputs with a row for each image. With several heads on one trunk
(:class:`tasks.multitask.graph.MultiGraph`), each head has these outputs, with its name before
them: ``classes_probabilities``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backbone.layers import fold_batchnorm
from tasks.application import PhotoApplication
from tasks.export.resize import Antialias
from tasks.runtime.square import Square
from tasks.weights.card import Card

IMAGES = "images"


class AnswerGraph(nn.Module):
    """From images (N, H, W, 3) uint8 RGB to answers, whose names are ``outputs``.

    Attributes:
        outputs: Names of the outputs.
        inner: Names of further outputs, which are not answers: an ONNX file contains tensors of
            these names from which other files are made.
        squares: If it takes one image that was made square before, instead of any: how each input
            is made, by name, in the order of the inputs. Otherwise empty.
    """

    outputs: tuple[str, ...]
    squares: dict[str, Square]
    inner: tuple[str, ...] = ()


class PhotoGraph(AnswerGraph):
    """One network with its preprocessing and decoding.

    Args:
        application: Application of the network.
        model: The network, in evaluation mode; a copy of it, with batch norm folded into the
            convolutions, is kept.
        card: Card of the network.
        antialias: Form of the resize in the graph (see :mod:`tasks.export.resize`).
    """

    def __init__(
        self,
        application: PhotoApplication[Any],
        model: nn.Module,
        card: Card,
        *,
        antialias: Antialias = "operator",
    ) -> None:
        super().__init__()
        self.outputs, self.squares = tuple(application.outputs), {}
        self.card, self.network = card, application.network()
        self.fit = self.network.view.layer(card, antialias)
        self.model = fold_batchnorm(model).cpu()
        keep_inputs(self.model)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Outputs for images (N, H, W, 3) uint8 RGB, in the order of ``outputs``."""
        height, width = (torch.scalar_tensor(n, dtype=torch.float32) for n in images.shape[1:3])
        frame = torch.stack((width, height, width, height))
        return self.decode(self.network.run(self.model, self.fit(images)), frame)

    def decode(self, raw: Any, frame: Tensor | None = None) -> tuple[Tensor, ...]:
        """Named outputs from raw ones; the frame is that of :class:`tasks.application.Network`."""
        found = self.network.decode(self.model, self.card, raw, frame)
        assert tuple(found) == self.outputs, f"decoded {[*found]}, declared {self.outputs}"
        return tuple(found.values())


def keep_inputs(model: nn.Module) -> None:
    """Make activations work out of place: exporters are slow on in-place operators."""
    for layer in model.modules():
        if isinstance(layer, nn.ReLU | nn.ReLU6 | nn.LeakyReLU):
            layer.inplace = False
