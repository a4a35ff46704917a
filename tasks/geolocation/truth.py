"""Where training photos were taken, as a geolocator learns it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import GeoTargets
from tasks.geolocation.sphere import unit_vectors


class Truth:
    """Where each training photo was taken, to be looked up by its index.

    Args:
        atlas: Partitions of the model.
        lat: (N,) degrees.
        lng: (N,) degrees.
    """

    def __init__(self, atlas: Atlas, lat: NDArray[np.float64], lng: NDArray[np.float64]) -> None:
        self._columns = torch.from_numpy(atlas.columns_at(lat, lng))
        self._units = torch.from_numpy(unit_vectors(lat, lng)).float()

    def of(self, image_ids: list[int], device: torch.device) -> GeoTargets:
        """Targets of some photos."""
        rows = torch.tensor(image_ids)
        return {
            "columns": self._columns[rows].to(device, non_blocking=True),
            "units": self._units[rows].to(device, non_blocking=True),
        }
