"""Networks alone as one graph: from normalised squares to raw outputs, without decoding.

This serves runtimes that have no operators for images of any size or for NMS, and converters that
start from ONNX. What the host has to do before and after is described in :attr:`BareGraph.told`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone.flavour import InputSpec
from backbone.layers import fold_batchnorm
from datasets.images import Image
from tasks.application import PhotoApplication
from tasks.photo_graph import IMAGES, keep_inputs
from tasks.runtime.square import Square
from tasks.square_graph import plain_pools
from tasks.weights.card import Card


@dataclass(frozen=True)
class BareInput:
    """One input of a bare graph.

    Attributes:
        square: Function that makes an image (H, W, 3) the square (S, S, 3), uint8 RGB.
        spec: Channel order, mean and standard deviation.
    """

    square: Square
    spec: InputSpec

    def __call__(self, photo: Image) -> NDArray[np.float32]:
        """The input (1, 3, S, S) for an image, by the numbers in :meth:`to_json`."""
        told = self.to_json()
        pixels = self.square(photo).astype(np.float32)
        if told["channels"] == "bgr":
            pixels = pixels[..., ::-1]
        pixels = (pixels - np.float32(told["mean"])) / np.float32(told["std"])
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])

    def to_json(self) -> dict[str, Any]:
        """Instructions for the host: making the square, then (pixels - mean) / std by channel.

        Pixels are 0..255, channels in the stated order.
        """
        return {
            "square": self.square.to_json(),
            "shape": [1, 3, self.spec.size, self.spec.size],
            "channels": self.spec.channels,
            "mean": [round(255 * value, 6) for value in self.spec.mean],
            "std": [round(255 * value, 6) for value in self.spec.std],
        }


class BareGraph(nn.Module):
    """One network without what surrounds it.

    Args:
        application: Application of the network.
        model: The network, in evaluation mode; a folded copy of it is kept.
        card: Card of the network.

    Attributes:
        inputs: Inputs by name, in their order.
        outputs: Names of the raw outputs.
        told: Instructions for the host, as plain data: inputs, outputs, and numbers that the
            decoding needs.

    Raises:
        InputError: If it is not a single network from its input to its outputs.
    """

    def __init__(self, application: PhotoApplication[Any], model: nn.Module, card: Card) -> None:
        super().__init__()
        record = application.network()
        bare = record.bare(model, card)
        self.outputs = tuple(bare.outputs)
        self.inputs = {IMAGES: BareInput(record.view.square(card), card.flavour.input)}
        self.model = fold_batchnorm(model).cpu()
        without_normalising(self.model)
        self.told: dict[str, Any] = {
            "inputs": {name: one.to_json() for name, one in self.inputs.items()},
            "outputs": dict(bare.outputs),
            **bare.facts,
        }
        keep_inputs(self.model)
        plain_pools(self.model)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs for a normalised square (1, 3, S, S), in the order of ``outputs``."""
        return raw_parts(self.model, images)


def raw_parts(model: Any, images: Tensor) -> tuple[Tensor, ...]:
    """A network's raw outputs as a tuple, whatever their number."""
    raw = model.raw(images)
    return tuple(raw) if isinstance(raw, tuple) else (raw,)


def without_normalising(model: nn.Module) -> None:
    """Remove the normalisation layer of a network, and of every head in it."""
    for part in model.modules():
        if isinstance(getattr(part, "normalize", None), nn.Module):
            part.normalize = nn.Identity()
