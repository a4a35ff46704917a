"""Imports weights of other frameworks: who can read a file, and the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from configs.tools import ImportWeights
from datasets.builtin.scenes import draw_scene
from datasets.squares import resize_square
from tasks.weights.card import Card

_SCENES = 8


@dataclass(frozen=True)
class Foreign:
    """What was read from another framework's file, and its comparison with the original."""

    tensors: dict[str, Tensor]
    card: Card
    about: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Importer:
    """What an application can read from other frameworks; it may raise InputError.

    It is used for sources that it claims; without ``claims``, for those that no importer claims.
    """

    read: Callable[[ImportWeights, Path], Foreign]
    claims: Callable[[Path], bool] | None = None


def importer_for(source: Path, importers: Sequence[Importer]) -> Importer:
    """The importer of a source: the first that claims it, or the one for unclaimed sources."""
    for one in importers:
        if one.claims is not None and one.claims(source):
            return one
    return next(one for one in importers if one.claims is None)


def scenes_for(card: Card) -> Tensor:
    """Built-in scenes for comparison, at the size of the model's input: (8, 3, S, S) uint8."""
    pictures = [draw_scene(np.random.default_rng(seed))[0] for seed in range(_SCENES)]
    stacked = np.stack([resize_square(picture, card.flavour.input.size) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)
