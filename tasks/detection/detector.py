"""The common base of SSD and Faster R-CNN."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from backbone.flavour import Flavour
from backbone.layers import Normalize
from datasets.errors import InputError
from tasks.detection.postprocess import Detections
from tasks.detection.spec import DetectorSpec, PostSpec


class DetectorNetwork(nn.Module):
    """A body with a detector on top of it, losses and post-processing.

    Args:
        spec: Architecture.
        num_classes: Number of classes without background; labels go from 1 to it.
        flavour: Flavour of the body and of the layers on top of it; its input size is
            ``spec.size``.
        loss: Training objective; by default that of ``objective``.
        post: Settings for turning raw outputs into detections.

    Attributes:
        objective: Dataclass of training objectives.
        anchors: (A, 4) cx cy w h, relative.
    """

    objective: type[Any]
    anchors: Tensor
    normalize: nn.Module

    def __init__(
        self,
        spec: DetectorSpec,
        num_classes: int,
        flavour: Flavour,
        *,
        loss: Any = None,
        post: PostSpec | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.num_classes = spec, num_classes
        self.loss, self.post = loss or self.objective(), post or PostSpec()
        self.normalize = Normalize(flavour.input)
        self.add_layers(flavour)
        self.register_buffer("anchors", self.anchors_of(spec), persistent=False)

    def add_layers(self, flavour: Flavour) -> None:
        """Add body and head with fresh weights."""
        raise NotImplementedError

    @staticmethod
    def anchors_of(spec: DetectorSpec) -> Tensor:
        """Anchors (A, 4) of an architecture, without building it."""
        raise NotImplementedError

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | Detections:
        """Losses in training, detections in evaluation (torchvision's convention).

        Args:
            images: (B, 3, S, S) RGB 0..255.
            targets: For each image, relative ``boxes`` (N, 4; x1 y1 x2 y2), ``labels`` (N,) from 1
                and ``iscrowd`` (N,); required in training.
        """
        raise NotImplementedError

    def refuse_other_size(self, images: Tensor) -> None:
        """Refuse images of another size than the detector's. Raises InputError naming both."""
        size = self.spec.size
        if images.shape[-2:] != (size, size):
            raise InputError(
                f"images of {images.shape[-1]}x{images.shape[-2]} do not fit this detector: "
                f"it takes {size}x{size}"
            )
