"""The start of a geolocator's training: initial weights, and the positions of its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator, GeoTargets
from tasks.geolocation.sphere import unit_vectors
from tasks.start_network import read_start, with_body_of
from tasks.weights.card import Card
from tasks.weights.file import load_into

# Names of the cells in the state dict, and of the card's temperature.
CELLS_KEY, TEMPERATURE_KEY = "cells", "temperature"


def start_geolocator(model: Geolocator, path: Path) -> tuple[Card, bool]:
    """Fill a geolocator with the body of another model; with the same cells, with the head too.

    Args:
        model: Geolocator to fill.
        path: Run folder or weights file.

    Returns:
        The card of the weights, and whether the head was used too.

    Raises:
        InputError: If body, width, variant or flavour differ; the message names both sides.
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
    """Divisor of the logits, as fitted on the validation images; 1 if it was never fitted."""
    return float(card.metrics.get(TEMPERATURE_KEY, 1.0))


class Truth:
    """Positions of the training images, in (N,) degrees, looked up by index."""

    def __init__(self, atlas: Atlas, lat: NDArray[np.float64], lng: NDArray[np.float64]) -> None:
        self._columns = torch.from_numpy(atlas.columns_at(lat, lng))
        self._units = torch.from_numpy(unit_vectors(lat, lng)).float()

    def of(self, image_ids: list[int], device: torch.device) -> GeoTargets:
        """Targets of some images."""
        rows = torch.tensor(image_ids)
        return {
            "columns": self._columns[rows].to(device, non_blocking=True),
            "units": self._units[rows].to(device, non_blocking=True),
        }
