"""Models as one graph of a fixed shape: from ready squares to named outputs.

This serves runtimes that do not support images of any size: the host makes the square (described
by :class:`tasks.runtime.square.Square`), and everything else is inside, made of core operators
only (:mod:`tasks.core_operators`). For several heads see
:class:`tasks.multitask.square_graph.MultiSquare`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.application import PhotoApplication
from tasks.core_operators import core_operators
from tasks.photo_graph import IMAGES, PhotoGraph
from tasks.weights.card import Card


class SquareGraph(PhotoGraph):
    """One network from a square (1, S, S, 3) uint8 RGB to its outputs, with a row for the image.

    Boxes are x1 y1 x2 y2 in shares of the square's side, 0..1. Their number is the largest that
    the network returns: missing ones have label 0, score 0 and a box of zeros.

    Args:
        application: Application of the network.
        model: The network, in evaluation mode; a folded copy of it is kept.
        card: Card of the network.
    """

    def __init__(self, application: PhotoApplication[Any], model: nn.Module, card: Card) -> None:
        super().__init__(application, model, card)
        self.fit = ChannelsFirst()
        plain_pools(self.model)
        self.squares = {IMAGES: self.network.view.square(card)}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Outputs for one square (1, S, S, 3) uint8 RGB, in the order of ``outputs``."""
        with core_operators():
            return self.decode(self.network.run(self.model, self.fit(images)), torch.ones(1, 1, 4))


def plain_pools(model: nn.Module) -> None:
    """Write averages of whole maps explicitly: with fixed shapes exporters complicate them."""
    for name, layer in [*model.named_modules()]:
        if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)):
            model.set_submodule(name, Mean())


class Mean(nn.Module):
    """The average of each map: (B, C, H, W) to (B, C, 1, 1)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Average the pixels."""
        return maps.mean(dim=(2, 3), keepdim=True)


class ChannelsFirst(nn.Module):
    """(1, S, S, 3) uint8 to (1, 3, S, S) float32, 0..255."""

    def forward(self, images: Tensor) -> Tensor:
        """Move the channels first."""
        return images.float().permute(0, 3, 1, 2)
