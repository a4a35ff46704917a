"""Geolocators from weights files, whole or as the start of another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backbone.bodies import default_flavour
from backbone.flavour import Flavour, refuse_other_flavour
from tasks.classification.load import refuse_other_body
from tasks.classification.spec import ClassifierSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator
from tasks.geolocation.spec import GeoLossSpec
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_into
from tasks.weights.head_files import load_weights

# Of the state dict: the cells, and the figure of the card by which logits are divided.
CELLS_KEY, TEMPERATURE_KEY = "cells", "temperature"


def build_geolocator(
    spec: ClassifierSpec,
    atlas: Atlas,
    flavour: Flavour | None = None,
    loss: GeoLossSpec | None = None,
) -> Geolocator:
    """A geolocator with fresh weights.

    Args:
        spec: Architecture.
        atlas: Partitions that it answers in.
        flavour: The body's default where None; its input size is replaced by the spec's.
        loss: Training objective.

    Raises:
        InputError: If the body cannot be built so.
    """
    flavour = flavour or default_flavour(spec.backbone)
    flavour = replace(flavour, input=replace(flavour.input, size=spec.size))
    return Geolocator(spec, atlas, flavour, loss)


def start_geolocator(model: Geolocator, path: Path) -> tuple[Card, bool]:
    """Fill a geolocator with the body of another model; of the same cells, with the head too.

    Args:
        model: To be filled.
        path: Run folder or weights file, of any task.

    Returns:
        The card of the weights, and whether the head came too.

    Raises:
        InputError: If body, width, variant or flavour differ, naming both sides.
    """
    state, card = load_weights(path)
    refuse_other_body(model.spec, card, path)
    refuse_other_flavour(str(path), card.flavour, model.body.flavour)
    fresh = model.state_dict()
    cells = state.get(CELLS_KEY)
    whole = cells is not None and cells[:, :2].equal(fresh[CELLS_KEY][:, :2])
    if not whole:
        state = {
            key: state.get(key, value) if key.startswith(BODY_PREFIX) else value
            for key, value in fresh.items()
        }
    load_into(model, {**state, CELLS_KEY: fresh[CELLS_KEY]}, str(path))
    return card, whole


def temperature_of(card: Card) -> float:
    """What to divide the logits by, as fitted on the validation photos; 1 if it never was."""
    return float(card.metrics.get(TEMPERATURE_KEY, 1.0))
