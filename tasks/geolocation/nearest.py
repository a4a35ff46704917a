"""How near photos to train on lie to photos to evaluate on."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from tasks.geolocation.sphere import Floats, arc_km, unit_vectors


def nearest_km(lat: Floats, lng: Floats, other_lat: Floats, other_lng: Floats) -> Floats:
    """Distance (N,) in km of each position (N,) to the nearest of others (M,), in degrees."""
    tree = cKDTree(unit_vectors(other_lat, other_lng))
    chords, _ = tree.query(unit_vectors(lat, lng))
    return arc_km(np.asarray(chords, np.float64))
