"""Points on the globe: degrees, unit vectors, and great-circle distances in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Mean radius of the Earth (IUGG).
EARTH_KM = 6371.0088


def unit_vectors(lat: Floats, lng: Floats) -> Floats:
    """Degrees (...) to vectors (..., 3) of length one: x to (0, 0), z to the north pole."""
    phi, theta = np.radians(lat), np.radians(lng)
    across = np.cos(phi)
    return np.stack((np.cos(theta) * across, np.sin(theta) * across, np.sin(phi)), axis=-1)


def degrees(vectors: Floats) -> tuple[Floats, Floats]:
    """Vectors (..., 3) of any length above 0 to latitude and longitude (...) in degrees."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def distance_km(lat: Floats, lng: Floats, other_lat: Floats, other_lng: Floats) -> Floats:
    """Great-circle distance in km by the haversine formula; the arguments are broadcast.

    It is computed in float64: float32, or the arc cosine of a dot product, would be kilometres off
    for points that are metres apart, and with it the share within 1 km.
    """
    phi, other_phi = np.radians(lat), np.radians(other_lat)
    up = np.sin((other_phi - phi) / 2) ** 2
    along = np.sin(np.radians(other_lng - np.asarray(lng)) / 2) ** 2
    half = np.sqrt(np.clip(up + np.cos(phi) * np.cos(other_phi) * along, 0, 1))
    return np.asarray(2 * EARTH_KM * np.arcsin(half))


def nearest_km(lat: Floats, lng: Floats, other_lat: Floats, other_lng: Floats) -> Floats:
    """Distance (N,) in km of each position (N,) to the nearest of others (M,), in degrees."""
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]

    chords, _ = cKDTree(unit_vectors(other_lat, other_lng)).query(unit_vectors(lat, lng))
    return np.asarray(2 * EARTH_KM * np.arcsin(np.clip(chords / 2, 0, 1)))
