"""Geolocators that start from the weights of another file."""

from __future__ import annotations

from pathlib import Path

from tasks.geolocation.model import Geolocator
from tasks.start_network import read_start, with_body_of
from tasks.weights.card import Card
from tasks.weights.file import load_into

# Of the state dict: the cells, and the figure of the card by which logits are divided.
CELLS_KEY, TEMPERATURE_KEY = "cells", "temperature"


def start_geolocator(model: Geolocator, path: Path) -> tuple[Card, bool]:
    """Fill a geolocator with the body of another model; of the same cells, with the head too.

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
