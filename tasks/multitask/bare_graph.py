"""Several heads as one graph of the networks alone, from normalised squares to raw outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from backbone.layers import fold_batchnorm
from tasks.applications import photo_application
from tasks.bare_graph import BareGraph, BareInput, raw_parts, without_normalising
from tasks.multitask.model import MultiTaskNet
from tasks.photo_graph import IMAGES, keep_inputs
from tasks.square_graph import plain_pools
from tasks.weights.card import Card


class MultiBare(nn.Module):
    """Every head's raw outputs, ``HEAD_OUTPUT``, with one pass for heads with the same input.

    The first input is ``images``; another is named ``HEAD_images`` after the head that needs it:
    boxes use the whole image and not its centre.

    Args:
        net: Trunk and heads; a folded copy of it is kept.
        cards: Cards of the heads, by name.

    Attributes:
        inputs: Inputs by name, in their order.
        outputs: Names of the raw outputs.
        told: Instructions for the host; those of each head are under ``heads``.

    Raises:
        InputError: If a head is not a single network from its input to its outputs.
    """

    def __init__(self, net: MultiTaskNet, cards: Mapping[str, Card]) -> None:
        super().__init__()
        records = {name: photo_application(cards[name].task, name) for name in net.heads}
        parts = {
            name: BareGraph(one, net.head(name), cards[name]) for name, one in records.items()
        }
        self.net = fold_batchnorm(net).cpu()
        without_normalising(self.net)
        self.inputs: dict[str, BareInput] = {}
        self.groups: list[list[str]] = []
        kinds: list[BareInput] = []
        for name, part in parts.items():
            wanted = part.inputs[IMAGES]
            if wanted not in kinds:
                kinds.append(wanted)
                self.groups.append([])
                self.inputs[f"{name}_{IMAGES}" if self.inputs else IMAGES] = wanted
            self.groups[kinds.index(wanted)].append(name)
        self.outputs = tuple(
            f"{name}_{out}"
            for group in self.groups
            for name in group
            for out in parts[name].outputs
        )
        self.told: dict[str, Any] = {
            "inputs": {name: one.to_json() for name, one in self.inputs.items()},
            "heads": {
                name: {**parts[name].told, "inputs": key}
                for key, group in zip(self.inputs, self.groups, strict=True)
                for name in group
            },
        }
        keep_inputs(self.net)
        plain_pools(self.net)
        self.eval()

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs for normalised squares (1, 3, S, S), by ``inputs``' order."""
        found: list[Tensor] = []
        for square, group in zip(images, self.groups, strict=True):
            if len(group) == 1:
                found += raw_parts(self.net.head(group[0]), square)
                continue
            answers = self.net.answers(square, group)
            for name in group:
                raw = answers[name]
                found += raw if isinstance(raw, tuple) else (raw,)
        return tuple(found)
