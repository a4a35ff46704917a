"""Features of a classifier that the user has trained, in which pictures are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tasks.classification.model import Classifier
from tasks.dcgan.scores import score

_BATCH = 128


class FeatureNet:
    """The pooled last map of a classifier's body.

    Every picture, real or generated, comes at the generator's size and is resized as a whole to
    the classifier's: what is compared differs in nothing else than in who made it.

    Args:
        classifier: In evaluation mode.
        name: What figures call it: the run folder or weights file.
        device: To compute on.
    """

    def __init__(self, classifier: Classifier, name: str, device: str) -> None:
        self.name, self.device = name, device
        self._net = classifier.to(device).eval()

    def __call__(self, pictures: Tensor) -> NDArray[np.float32]:
        """Features (B, D) of pictures (B, 3, H, W) uint8 RGB."""
        net, size = self._net, self._net.spec.size
        with torch.inference_mode(), torch.autocast(torch.device(self.device).type, enabled=False):
            images = pictures.to(self.device).float()
            if images.shape[-1] != size:
                images = functional.interpolate(
                    images, (size, size), mode="bilinear", antialias=True
                ).round()
            maps = net.body(net.normalize(images))[net.last_stride]
            return np.asarray(maps.mean(dim=(2, 3)).cpu().numpy(), dtype=np.float32)

    def of_all(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, D) of pictures (N, H, W, 3) uint8 RGB."""
        parts = [
            self(torch.from_numpy(pixels[start : start + _BATCH]).permute(0, 3, 1, 2))
            for start in range(0, len(pixels), _BATCH)
        ]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Judge:
    """Scores generated pictures against photos.

    Attributes:
        net: Gives the features.
        real: (N, D) features of the photos.
        labels: (N,) column of each photo; generated pictures are of the same classes.
    """

    net: FeatureNet
    real: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def title(self) -> str:
        """What a Frechet distance here is called: never by the name of Inception's."""
        return f"Frechet distance in the features of {self.net.name}"

    def score(self, fake: NDArray[np.float32]) -> dict[str, float]:
        """Figures of generated pictures' features (M, D)."""
        return score(self.real, fake)
