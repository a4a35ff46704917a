"""Turns probabilities of cells into a position, a region, and a confidence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.geolocation import s2
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import DecodeSpec, Decoding
from tasks.geolocation.sphere import EARTH_KM, Floats, degrees, unit_vectors
from tasks.probabilities import softmax

Ints = NDArray[np.int64]


class Places(NamedTuple):
    """Answers for B images."""

    lat: Floats  # (B,) degrees
    lng: Floats  # (B,) degrees
    confidence: Floats  # (B,) probability of the cells near the answer, 0..1
    probabilities: Floats  # (B, C) of the cells
    order: Ints  # (B, C) columns, the most likely first
    region: Ints  # (B,) how many of them are the smallest set with the wanted probability
    radius_km: Floats  # (B,) largest distance from the answer to a mean position of these cells


class Located(NamedTuple):
    """Where an image was taken, according to the model."""

    lat: float  # degrees
    lng: float  # degrees
    confidence: float  # probability of the cells near the answer, 0..1
    answered: bool  # whether that is enough
    cells: list[int]  # columns of the region, the most likely first
    probabilities: list[float]  # probabilities of these, 0..1
    radius_km: float  # how far the region reaches from the answer


def place_name(lat: float, lng: float) -> str:
    """A position in degrees as text: 48.86 N, 2.35 E."""
    north, east = "N" if lat >= 0 else "S", "E" if lng >= 0 else "W"
    return f"{abs(lat):.2f} {north}, {abs(lng):.2f} {east}"


def decode(
    logits: NDArray[np.float32], partition: Partition, spec: DecodeSpec, temperature: float = 1.0
) -> Places:
    """Positions of images from logits (B, C) of a partition's cells.

    The logits are divided by the temperature, so that the confidence is calibrated.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    lat, lng = positions(probabilities, order, partition, spec.decoding, spec)
    cosines = np.clip(unit_vectors(lat, lng) @ partition.units.T, -1, 1)
    near = cosines >= np.cos(min(spec.near_km / EARTH_KM, np.pi))
    falling = np.take_along_axis(probabilities, order, axis=1)
    # The last place may only be reached by rounding.
    region = np.minimum(
        (falling.cumsum(axis=1) < spec.region - 1e-12).sum(axis=1) + 1, len(partition)
    )
    inside = np.arange(len(partition)) < region[:, None]
    farthest = np.where(inside, np.take_along_axis(cosines, order, axis=1), 1).min(axis=1)
    return Places(
        lat=lat,
        lng=lng,
        confidence=np.minimum((probabilities * near).sum(axis=1), 1.0),
        probabilities=probabilities,
        order=order,
        region=region,
        radius_km=EARTH_KM * np.arccos(farthest),
    )


def positions(
    probabilities: Floats, order: Ints, partition: Partition, decoding: Decoding, spec: DecodeSpec
) -> tuple[Floats, Floats]:
    """Latitude and longitude (B,) in degrees by one way of decoding.

    Args:
        probabilities: (B, C) probabilities of the cells.
        order: (B, C) columns, the most likely first.
        partition: The cells.
        decoding: The way of decoding.
        spec: For ``local``: how many cells are averaged, and how near they must be.
    """
    best = order[:, 0]
    if decoding == "centre":
        return s2.centres(partition.ids[best])
    if decoding == "mean":
        return partition.lat[best], partition.lng[best]
    top = order[:, : spec.top_cells]
    units = partition.units[top]
    cosines = (units * units[:, :1]).sum(axis=2)
    near = cosines >= np.cos(min(spec.near_km / EARTH_KM, np.pi))
    near[:, 0] = True  # Itself, whatever the rounding.
    weights = np.take_along_axis(probabilities, top, axis=1) * near
    return degrees((weights[..., None] * units).sum(axis=1))
