"""A trained geolocator on pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from backbone.layers import fold_batchnorm
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.decode import decode
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import DecodeSpec
from tasks.runtime.exported import Exported


class Located(NamedTuple):
    """Where a picture was taken, as far as the model can tell.

    Attributes:
        lat: Degrees.
        lng: Degrees.
        confidence: Probability of the cells near the answer, 0..1.
        answered: Whether that is enough.
        cells: Columns of the region, the most likely first.
        probabilities: Of these, 0..1.
        radius_km: How far the region reaches from the answer.
    """

    lat: float
    lng: float
    confidence: float
    answered: bool
    cells: list[int]
    probabilities: list[float]
    radius_km: float


class GeoPredictor:
    """A geolocator made ready for pictures of any size: folded, on its device.

    Args:
        model: To be copied.
        atlas: Its partitions.
        device: To compute on.
        fit: Brings a picture to the model's square input.
        spec: How it answers.
        temperature: That its logits are divided by.
    """

    def __init__(
        self,
        model: Geolocator,
        atlas: Atlas,
        device: str,
        fit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
        spec: DecodeSpec,
        temperature: float,
    ) -> None:
        self.partition, self.device, self.fit = atlas.fine, device, fit
        self.spec, self.temperature = spec, temperature
        self._model = fold_batchnorm(model)
        self._model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Located]:
        """Positions of some (H, W, 3) RGB pictures."""
        if not images:
            return []
        logits = self.logits(images)
        return locate(logits, self.partition, self.spec, self.temperature)

    def logits(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(B, C) of the finest partition's cells, before the temperature."""
        squares = np.stack([self.fit(image) for image in images])
        # Stored channels last, which is the layout that the network wants.
        batch = torch.from_numpy(squares).permute(0, 3, 1, 2).to(self.device)
        with torch.inference_mode():
            combined = self._model.combine(self._model.raw(batch)).cpu().numpy()
        return np.asarray(combined, np.float32)


def locate(
    logits: NDArray[np.float32], partition: Partition, spec: DecodeSpec, temperature: float = 1.0
) -> list[Located]:
    """Answers from logits; as :func:`~tasks.geolocation.decode.decode`."""
    places = decode(logits, partition, spec, temperature)
    found = []
    for k, count in enumerate(places.region.tolist()):
        cells = places.order[k, :count]
        found.append(
            Located(
                lat=float(places.lat[k]),
                lng=float(places.lng[k]),
                confidence=float(places.confidence[k]),
                answered=bool(places.confidence[k] >= spec.abstain),
                cells=cells.tolist(),
                probabilities=places.probabilities[k, cells].tolist(),
                radius_km=float(places.radius_km[k]),
            )
        )
    return found


class ExportedPlaces:
    """An export in the place of a :class:`GeoPredictor`.

    Args:
        exported: Of a geolocator; its logits are divided by their temperature already.
        atlas: Its partitions.
        spec: How it answers.
    """

    def __init__(self, exported: Exported, atlas: Atlas, spec: DecodeSpec) -> None:
        self.partition, self.spec, self._exported = atlas.fine, spec, exported

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Located]:
        """Positions of some (H, W, 3) RGB pictures."""
        if not images:
            return []
        shares = np.stack([answer["probabilities"] for answer in self._exported(images)])
        with np.errstate(divide="ignore"):
            return locate(np.log(shares), self.partition, self.spec)
