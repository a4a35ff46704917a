"""SqueezeNet 1.0 (Iandola et al., arXiv 1602.07360) from torchvision, as a body."""

from __future__ import annotations

from torch import nn
from torchvision.models import squeezenet1_0

from backbone.body import Body, Stage
from backbone.flavour import Flavour, imagenet_flavour, keep_conventions

FLAVOUR = imagenet_flavour()
STEM_CHANNELS = 96
# Channels after each layer of torchvision's ``features``; a pool repeats the number before it.
_CHANNELS = (96, 128, 128, 256, 256, 256, 384, 384, 512, 512, 512)


class SqueezeNet(Body):
    """The baseline of table 9: a 7x7 stem and eight fire modules, without batch norm.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.

    Attributes:
        channels: {2: 96, 4: 256, 8: 512, 16: 512}; there is no stride 32.
    """

    class_layer = "1"

    def __init__(self, flavour: Flavour | None = None) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "squeezenet")
        layers = squeezenet1_0(weights=None).features
        stages = [Stage(nn.Sequential(layers[0], layers[1]), 2, STEM_CHANNELS)]
        for layer, channels in zip(layers[2:], _CHANNELS, strict=True):
            stages.append(Stage(layer, 2 if isinstance(layer, nn.MaxPool2d) else 1, channels))
        super().__init__(stages, flavour)

    def make_classifier(self, num_classes: int, dropout: float = 0.0) -> nn.Module:
        """A convolution to the classes, then the global average: logits (B, num_classes).

        The logits are never negative, because of a ReLU between the two, as published.

        Args:
            num_classes: Number of logits.
            dropout: Share of the last map that is set to zero before the convolution in training.
        """
        conv = nn.Conv2d(self.channels[16], num_classes, 1)
        nn.init.normal_(conv.weight, std=0.01)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        return nn.Sequential(
            nn.Dropout(dropout),
            conv,
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
