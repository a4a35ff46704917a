"""Geolocators with fresh weights, or with those of another file."""

from __future__ import annotations

from pathlib import Path

from backbone.flavour import Flavour
from tasks.body_network import flavour_for
from tasks.body_spec import ClassifierSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator
from tasks.geolocation.spec import GeoLossSpec
from tasks.start_network import read_start, with_body_of
from tasks.weights.card import Card
from tasks.weights.file import load_into

# Of the state dict: the cells, and the figure of the card by which logits are divided.
CELLS_KEY, TEMPERATURE_KEY = "cells", "temperature"


def build_geolocator(
    spec: ClassifierSpec,
    atlas: Atlas,
    flavour: Flavour | None = None,
    loss: GeoLossSpec | None = None,
) -> Geolocator:
    """A geolocator with fresh weights; without a flavour in the default one of the body.

    Raises:
        InputError: If the body cannot be built so.
    """
    return Geolocator(spec, atlas, flavour_for(spec, flavour), loss)


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
    state, card = read_start(model, path)
    fresh = model.state_dict()
    cells = state.get(CELLS_KEY)
    whole = cells is not None and cells[:, :2].equal(fresh[CELLS_KEY][:, :2])
    if not whole:
        state = with_body_of(fresh, state)
    load_into(model, {**state, CELLS_KEY: fresh[CELLS_KEY]}, str(path))
    return card, whole


def temperature_of(card: Card) -> float:
    """What to divide the logits by, as fitted on the validation photos; 1 if it never was."""
    return float(card.metrics.get(TEMPERATURE_KEY, 1.0))
