"""Networks with random weights, as good as trained ones to measure time and size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tools.flows.source import Source
from tools.speed.accuracies import Shape


def random_source(shape: Shape, seed: int = 0) -> Source:
    """A network of the paper with random weights.

    Args:
        shape: Which.
        seed: Of the weights.

    Raises:
        InputError: If it cannot be built so.
    """
    torch.manual_seed(seed)
    network = shape.application.network()
    model, card = network.example(shape.alpha, shape.size, shape.variant)
    card = replace(card, source="random weights, to measure time alone")
    return Source(model.eval(), card, Path("random weights"))
