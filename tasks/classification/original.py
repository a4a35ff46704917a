"""TensorFlow Lite classifiers run directly by LiteRT, for evaluation with the same metrics."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbone.formats.recognise import read_network
from backbone.layers import Normalize
from datasets.errors import InputError
from tasks.classification.import_weights import import_network
from tasks.classification.reference_runtimes import LiteRt
from tasks.runtime.litert_session import INSTALL
from tasks.weights.card import Card

# Smallest probability: below it 8 bits and float32 cannot be distinguished from 0.
_LEAST = 1e-9


class LiteRtClassifier(nn.Module):
    """A classifier's .tflite file run by LiteRT.

    Args:
        path: Path of the file.
        labels: Text file with a class per line; by default the names that imports use.

    Raises:
        InputError: If LiteRT is not installed, the file is not a MobileNet v1 classifier, or it
            takes floats without stating their range.
    """

    def __init__(self, path: Path, labels: Path | None = None) -> None:
        super().__init__()
        if importlib.util.find_spec("ai_edge_litert") is None:
            raise InputError(
                f"{path}: running the original file needs LiteRT: {INSTALL}; "
                "or bring the weights in with tools/import_weights.py"
            )
        network = read_network(path)
        if not network.columns:
            raise InputError(f"{path}: has no classifier, only a body, which answers no images")
        if network.stated.mean is None:
            raise InputError(
                f"{path}: takes floats and does not state in what range: bring it in with "
                "tools/import_weights.py --mean R G B --std R G B, which compares the two"
            )
        imported = import_network(network, labels=labels)
        self.card, self.background = imported.card, imported.background
        self.normalize, self._takes = Normalize(self.card.flavour.input), network.takes
        try:
            self._runtime = LiteRt(path)
        except InputError as error:
            raise InputError(
                f"{path}: {error}; bring the weights in with tools/import_weights.py"
            ) from error

    def raw(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of uint8 images (B, 3, S, S), without the background."""
        taken = images * (self._takes / 255) if self._takes else self.normalize(images)
        shares = self._runtime(taken.cpu())[:, int(self.background) :]
        return torch.log(shares.clamp(min=_LEAST))

    def forward(self, images: Tensor) -> Tensor:
        """Logits; see :meth:`raw`."""
        return self.raw(images)

    def __deepcopy__(self, _memo: dict[int, Any]) -> LiteRtClassifier:
        """The object itself: the runtime cannot be copied, and nothing ever changes it."""
        return self


def open_litert(path: Path, labels: Path | None) -> tuple[LiteRtClassifier, Card]:
    """The original file as a model and its card. Raises InputError if it cannot be run."""
    model = LiteRtClassifier(path, labels)
    return model, model.card
