"""The contract of all bodies: layers in order, a feature map per stride, a classifier on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from backbone.flavour import Flavour
from datasets.errors import InputError


class Stage(NamedTuple):
    """One layer of a body and the shape of its output.

    Attributes:
        layer: Module (B, C, H, W) -> (B, channels, about H / step, about W / step).
        step: Factor by which it shrinks the map: 1, 2 or, in a stem, 4.
        channels: Number of output channels.
    """

    layer: nn.Module
    step: int
    channels: int


class Body(nn.Module):
    """A convolutional network without pooling and classifier. Heads ask it for strides.

    Args:
        stages: The layers in order.
        flavour: Conventions of the weights.
        min_size: Smallest side of an image that the body accepts, in pixels.

    Attributes:
        layers: Layers of all stages.
        channels: Channels of the feature map at each stride.
        last_at: Index of the last layer at each stride.
        taps: Index of the layer whose output represents each stride: the last one, unless a body
            states otherwise.
        class_layer: Name, within its classifier, of the layer with a row for each class.
    """

    class_layer = "2"

    def __init__(self, stages: Sequence[Stage], flavour: Flavour, min_size: int = 32) -> None:
        super().__init__()
        self.flavour, self.min_size = flavour, min_size
        self.layers = nn.ModuleList(stage.layer for stage in stages)
        self.channels: dict[int, int] = {}
        self.last_at: dict[int, int] = {}
        stride = 1
        for index, stage in enumerate(stages):
            stride *= stage.step
            self.last_at[stride], self.channels[stride] = index, stage.channels
        self.taps = dict(self.last_at)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Features by stride: {s: (B, channels[s], about H / s, about W / s)}.

        MobileNet's maps have exactly ceil(H / s) rows; bodies whose convolutions do not pad
        lose a few, and so does padding ``keras`` on sizes that are no multiple of 32.

        Args:
            x: Normalised images (B, C, H, W).

        Raises:
            InputError: If the images are smaller than ``min_size`` pixels.
        """
        if min(x.shape[-2:]) < self.min_size:
            raise InputError(
                f"images of {x.shape[-1]}x{x.shape[-2]} are too small: the body needs "
                f"{self.min_size} pixels a side or more"
            )
        features: dict[int, Tensor] = {}
        ends = {index: stride for stride, index in self.taps.items()}
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in ends:
                features[ends[index]] = x
        return features

    def depths(self) -> dict[nn.Parameter, int]:
        """Depth of each parameter below the head: 1 in the last layer, most in the stem.

        Layers without parameters, such as pools, are not counted.
        """
        layers = [list(layer.parameters()) for layer in reversed(self.layers)]
        learning = filter(None, layers)
        return {p: depth for depth, layer in enumerate(learning, start=1) for p in layer}

    def split(self, stride: int) -> tuple[nn.Sequential, nn.Sequential]:
        """Cut the body after its last layer at ``stride``: (base, rest), sharing the weights.

        Faster R-CNN keeps conv0..conv11 (stride 16) as base and conv12..conv13 as box head.

        Raises:
            InputError: If the body has no such stride.
        """
        if stride not in self.last_at:
            raise InputError(f"cannot split at stride {stride}: choose one of {[*self.last_at]}")
        cut = self.last_at[stride] + 1
        return nn.Sequential(*self.layers[:cut]), nn.Sequential(*self.layers[cut:])

    def make_neck(self) -> tuple[nn.Module, int]:
        """The part between the last map and the last linear layer: (module, its width).

        The module maps (B, C, H, W) to (B, width). By default it is a global average pool; in VGG
        and AlexNet it contains two fully connected layers.
        """
        channels = self.channels[max(self.channels)]
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels

    def make_classifier(self, num_classes: int, dropout: float = 0.0) -> nn.Module:
        """The classifier from the last map to logits (B, num_classes).

        Args:
            num_classes: Number of logits.
            dropout: Share of the features that are set to zero before the last layer in training.
        """
        neck, width = self.make_neck()
        return nn.Sequential(neck, nn.Dropout(dropout), nn.Linear(width, num_classes))
