"""The geolocator's functions for its application's record: building, running, decoding, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from backbone.cost import Cost
from datasets.errors import InputError
from tasks.application import Bare, Facts
from tasks.body_spec import ClassifierSpec
from tasks.classification.network import NETWORK as CLASSIFIER
from tasks.classification.network import classifier_cost, classifier_spec, example_card
from tasks.geolocation import s2
from tasks.geolocation.answer import cells_text
from tasks.geolocation.atlas import Atlas, atlas_of
from tasks.geolocation.load import CELLS_KEY, temperature_of
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import TASK, DecodeSpec
from tasks.runtime.exported import cells_of
from tasks.weights.card import Card
from tasks.weights.file import spec_of

# Number of PlaNet's cells on MobileNet, from the printed parameters in table 11; cells of one
# level.
_CELLS, _LEVEL = 9760, 7


def _build(
    card: Card, state: Mapping[str, Tensor], path: Path, _options: DecodeSpec
) -> tuple[Geolocator, Card]:
    spec = classifier_spec(card, path)
    if CELLS_KEY not in state:
        raise InputError(f"{path}: the weights hold no cells")
    try:
        atlas = atlas_of(state[CELLS_KEY])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if atlas.classes != card.classes:
        raise InputError(
            f"{path}: the card names {len(card.classes)} cells, which are not the "
            f"{len(atlas.fine)} of the weights"
        )
    return Geolocator(spec, atlas, card.flavour), card


def _decode(
    model: Geolocator, card: Card, raw: Tensor, _frame: Tensor | None
) -> dict[str, Tensor]:
    return {"probabilities": (model.combine(raw) / temperature_of(card)).softmax(dim=1)}


def _cost(card: Card, facts: Facts, path: Path) -> Cost:
    return classifier_cost(spec_of(card, ClassifierSpec, path), len(cells_of(facts, path)))


def _bare(model: Geolocator, card: Card) -> Bare:
    told = {
        "logits": "(1, cells of all partitions, coarse to fine): the log softmax of each is "
        "taken, and that of a coarse cell added to the finest ones' in it, by 'above'; the "
        "softmax of these sums, divided by the temperature, is the finest cells' probabilities"
    }
    above = [model.get_buffer(f"above{level}").tolist() for level in range(len(model.sizes))]
    facts = {"sizes": list(model.sizes), "above": above, "temperature": temperature_of(card)}
    return Bare(told, facts)


def sketch_geolocator(spec: ClassifierSpec) -> Geolocator:
    """A fresh geolocator of one cell. Raises InputError if the body cannot be built."""
    return Geolocator(spec, _first_cells(0, 1))


def _first_cells(level: int, count: int) -> Atlas:
    """A number of cells of a level, the first along the curve."""
    cells = s2.faces()[:1]
    for _ in range(level):
        cells = s2.children(cells).ravel()
    cells = cells[:count]
    return Atlas((Partition(cells, np.ones(len(cells), np.int64), *s2.centres(cells)),))


def _example(alpha: float, size: int, _variant: str) -> tuple[Geolocator, Card]:
    """As many cells as PlaNet on MobileNet has, consecutive along the curve."""
    spec = ClassifierSpec(alpha=alpha, size=size)
    atlas = _first_cells(_LEVEL, _CELLS)
    return Geolocator(spec, atlas), example_card(TASK, spec, atlas.classes)


NETWORK = replace(
    CLASSIFIER,
    build=_build,
    decode=_decode,
    facts=lambda model: {"cells": cells_text(model.cells.cpu().numpy())},
    cost=_cost,
    bare=_bare,
    example=_example,
)
