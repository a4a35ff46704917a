"""Several heads as one graph of a fixed shape, from ready squares to all their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tasks.application import PhotoApplication
from tasks.core_operators import core_operators
from tasks.export.resize import Antialias
from tasks.multitask.graph import MultiGraph
from tasks.multitask.model import MultiTaskNet
from tasks.photo_graph import IMAGES
from tasks.runtime.square import Square
from tasks.square_graph import SquareGraph, plain_pools
from tasks.weights.card import Card


class MultiSquare(MultiGraph):
    """Every head's answers to one image, with an input for each way to make it square.

    The first is ``images``; another is named ``HEAD_images`` after the head that needs it: boxes
    use the whole image, and the others its centre.

    Args:
        net: Trunk and heads; a folded copy of it is kept.
        cards: Cards of the heads, by name.

    Raises:
        InputError: If heads other than boxes preprocess images differently.
    """

    def __init__(self, net: MultiTaskNet, cards: Mapping[str, Card]) -> None:
        super().__init__(net, cards)
        plain_pools(self.net)
        self.sees: dict[str, int] = {}
        seen: list[Square] = []
        for name in self.parts:
            (square,) = self.part(name).squares.values()
            if square not in seen:
                self.squares[f"{name}_{IMAGES}" if seen else IMAGES] = square
                seen.append(square)
            self.sees[name] = seen.index(square)

    @staticmethod
    def make_part(
        application: PhotoApplication[Any], model: nn.Module, card: Card, _antialias: Antialias
    ) -> SquareGraph:
        """A head's own graph, of the square alone."""
        return SquareGraph(application, model, card)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Answers for squares (1, S, S, 3) uint8 RGB of one image, by ``squares``' order."""
        found: list[Tensor] = []
        with core_operators():
            raws = {}
            if self.centred:
                first = self.centred[0]
                centre = self.part(first).fit(images[self.sees[first]])
                raws = self.net.answers(centre, self.centred)
            for name in self.parts:
                part = self.part(name)
                found += part.decode(raws[name]) if name in raws else part(images[self.sees[name]])
        return tuple(found)
