"""A trained network of attributes on pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from backbone.layers import fold_batchnorm
from datasets.types import ClassMap
from tasks.face_attributes.model import AttributeNet
from tasks.runtime.exported import Exported


class Traits(NamedTuple):
    """What a picture shows, as far as the model can tell; the most likely attribute first.

    Attributes:
        names: Of all attributes.
        probabilities: In 0..1.
        present: Whether each reaches its threshold.
    """

    names: list[str]
    probabilities: list[float]
    present: list[bool]


class AttributePredictor:
    """A network made ready for pictures of any size: folded, on its device.

    Args:
        model: To be copied.
        attributes: Its columns.
        device: To compute on.
        fit: Brings a picture to the model's square input.
    """

    def __init__(
        self,
        model: AttributeNet,
        attributes: ClassMap,
        device: str,
        fit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    ) -> None:
        self.attributes, self.device, self.fit = attributes, device, fit
        self._thresholds = model.thresholds.cpu().numpy()
        self._model = fold_batchnorm(model)
        self._model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Traits]:
        """Attributes of some (H, W, 3) RGB pictures."""
        if not images:
            return []
        squares = np.stack([self.fit(image) for image in images])
        # Stored channels last, which is the layout that the network wants.
        batch = torch.from_numpy(squares).permute(0, 3, 1, 2).to(self.device)
        with torch.inference_mode():
            shares = self._model.raw(batch).float().sigmoid().cpu().numpy()
        return [_traits(row, row >= self._thresholds, self.attributes) for row in shares]


def _traits(
    shares: NDArray[np.float32], present: NDArray[np.bool_], attributes: ClassMap
) -> Traits:
    order = np.argsort(-shares, kind="stable")
    names = [attributes.names[column] for column in order.tolist()]
    return Traits(names, shares[order].tolist(), present[order].tolist())


class ExportedAttributes:
    """An export in the place of an :class:`AttributePredictor`.

    Args:
        exported: Of a network of attributes.
    """

    def __init__(self, exported: Exported) -> None:
        self.attributes, self._exported = exported.card.classes, exported

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Traits]:
        """Attributes of some (H, W, 3) RGB pictures."""
        return [
            _traits(answer["probabilities"], answer["present"], self.attributes)
            for answer in self._exported(images)
        ]
