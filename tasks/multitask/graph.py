"""Several heads as one graph from images to all their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from backbone.layers import fold_batchnorm
from datasets.errors import InputError
from tasks.application import PhotoApplication
from tasks.applications import photo_application
from tasks.export.resize import Antialias
from tasks.multitask.model import MultiTaskNet
from tasks.photo_graph import AnswerGraph, PhotoGraph, keep_inputs
from tasks.photo_view import CENTRE
from tasks.weights.card import Card


class MultiGraph(AnswerGraph):
    """Every head's answers to images, with one trunk and one pass for all that share an input.

    Boxes have a separate pass: they use the whole image, stretched, and the others its centre.
    Outputs are named ``HEAD_OUTPUT``, the latter as in the graph of the head's task alone.

    Args:
        net: Trunk and heads; a copy of it, with batch norm folded into the convolutions, is kept.
        cards: Cards of the heads, by name.
        antialias: Form of the resize in the graph (see :mod:`tasks.export.resize`).

    Raises:
        InputError: If heads other than boxes preprocess images differently.
    """

    def __init__(
        self, net: MultiTaskNet, cards: Mapping[str, Card], *, antialias: Antialias = "operator"
    ) -> None:
        super().__init__()
        self.net = fold_batchnorm(net).cpu()
        applications = {name: photo_application(cards[name].task, name) for name in net.heads}
        self.centred = [name for name, one in applications.items() if one.network().view is CENTRE]
        seen = {name: cards[name].flavour.input for name in self.centred}
        if len(set(seen.values())) > 1:
            told = "; ".join(f"{name}: {spec}" for name, spec in seen.items())
            raise InputError(f"heads of one graph must see images alike, but they do not: {told}")
        self.squares = {}
        parts: dict[str, PhotoGraph] = {}
        for name in net.heads:
            part = self.make_part(applications[name], net.head(name), cards[name], antialias)
            part.model = self.net.head(name)  # On the common trunk, not on a copy.
            parts[name] = part
        self.parts = nn.ModuleDict(parts)
        self.outputs = tuple(
            f"{name}_{out}" for name, part in parts.items() for out in part.outputs
        )
        keep_inputs(self.net)
        self.eval()

    @staticmethod
    def make_part(
        application: PhotoApplication[Any], model: nn.Module, card: Card, antialias: Antialias
    ) -> PhotoGraph:
        """A head's own graph; its trunk is replaced by the common one."""
        return PhotoGraph(application, model, card, antialias=antialias)

    def part(self, name: str) -> PhotoGraph:
        """A head's own graph on the common trunk."""
        part = self.parts[name]
        assert isinstance(part, PhotoGraph)
        return part

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answers for images (N, H, W, 3) uint8 RGB, in the order of ``outputs``."""
        raws = {}
        if self.centred:
            raws = self.net.answers(self.part(self.centred[0]).fit(images), self.centred)
        found: list[Tensor] = []
        for name in self.parts:
            part = self.part(name)
            found += part.decode(raws[name]) if name in raws else part(images)
        return tuple(found)
