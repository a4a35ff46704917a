"""Where a photo was taken, as an answer."""

from __future__ import annotations

from typing import NamedTuple


class Located(NamedTuple):
    """Where a photo was taken, as far as the model can tell."""

    lat: float  # degrees
    lng: float  # degrees
    confidence: float  # probability of the cells near the answer, 0..1
    answered: bool  # whether that is enough
    cells: list[int]  # columns of the region, the most likely first
    probabilities: list[float]  # probabilities of these, 0..1
    radius_km: float  # how far the region reaches from the answer


def place_name(lat: float, lng: float) -> str:
    """Degrees as people write them: 48.86 N, 2.35 E."""
    north, east = "N" if lat >= 0 else "S", "E" if lng >= 0 else "W"
    return f"{abs(lat):.2f} {north}, {abs(lng):.2f} {east}"
