"""AlexNet (Krizhevsky et al., NIPS 2012), the two-branch network that table 9 compares with."""

from __future__ import annotations

from torch import nn

from backbone.body import Body, Stage
from backbone.flavour import Flavour, imagenet_flavour, keep_conventions

FLAVOUR = imagenet_flavour(size=227)
FC_WIDTH = 4096


class AlexNet(Body):
    """Five convolutions, three of them in two groups, and local response normalisation.

    torchvision's ``alexnet`` is another network, of the later paper arXiv 1404.5997: narrower
    and without groups or normalisation. At 227 pixels with 1000 classes this one costs 724.4 M
    mult-adds and has 60.97 M parameters.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.

    Attributes:
        channels: {4: 96, 8: 256, 16: 256, 32: 256}; stride 32 is pool5.
    """

    def __init__(self, flavour: Flavour | None = None) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "alexnet")
        stages = [
            Stage(_conv(3, 96, 11, stride=4, padding=0, normalise=True), 4, 96),
            Stage(nn.MaxPool2d(3, stride=2), 2, 96),
            Stage(_conv(96, 256, 5, groups=2, normalise=True), 1, 256),
            Stage(nn.MaxPool2d(3, stride=2), 2, 256),
            Stage(_conv(256, 384, 3), 1, 384),
            Stage(_conv(384, 384, 3, groups=2), 1, 384),
            Stage(_conv(384, 256, 3, groups=2), 1, 256),
            Stage(nn.MaxPool2d(3, stride=2), 2, 256),
        ]
        # From 67 pixels on, pool5 sees at least 3x3.
        super().__init__(stages, flavour, min_size=67)

    def make_neck(self) -> tuple[nn.Module, int]:
        """Pool to 6x6, then two fully connected layers with ReLU and dropout: (module, 4096)."""
        return fully_connected_neck(self.channels[32], side=6), FC_WIDTH


def fully_connected_neck(channels: int, *, side: int) -> nn.Sequential:
    """AlexNet's and VGG's fc6 and fc7: (B, channels, H, W) -> (B, 4096).

    Args:
        channels: Number of channels of the last map.
        side: Side in pixels to which the map is pooled first.
    """
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(side),
        nn.Flatten(),
        nn.Linear(channels * side**2, FC_WIDTH),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(FC_WIDTH, FC_WIDTH),
        nn.ReLU(inplace=True),
        nn.Dropout(),
    )


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    normalise: bool = False,
) -> nn.Sequential:
    if padding is None:
        padding = kernel // 2
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups),
        nn.ReLU(inplace=True),
    ]
    if normalise:
        # Section 3.3 applies alpha = 1e-4 to the sum over 5 channels; torch divides it by the 5.
        layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
    return nn.Sequential(*layers)
