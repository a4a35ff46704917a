"""ResNet-50 (He et al., arXiv 1512.03385) from torchvision, original or with separable blocks."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn
from torchvision.models import resnet50

from backbone.body import Body, Stage
from backbone.flavour import Flavour, imagenet_flavour, keep_conventions

FLAVOUR = imagenet_flavour()
Match = Literal["cost", "params"]
# Width of the first group's bottleneck: 64 in the original. A separable 3x3 convolution is
# cheaper, so each bottleneck is widened to what counting all integer widths with
# backbone.cost found nearest to the original's 4.089 B mult-adds at 224 pixels (4.094 B) or
# 25.56 M parameters (25.63 M), both with 1000 classes.
SEPARABLE_WIDTH: dict[Match, int] = {"cost": 109, "params": 114}


class ResNet50(Body):
    """The usual baseline, used to test MobileNet's block inside another network.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.
        separable: Replace the 3x3 convolution of each bottleneck by a depthwise 3x3, batch norm,
            ReLU and a pointwise 1x1 convolution, in wider bottlenecks.
        match: Quantity in which the separable network equals the original: mult-adds or
            parameters.

    Attributes:
        channels: {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}.
    """

    def __init__(
        self, flavour: Flavour | None = None, *, separable: bool = False, match: Match = "cost"
    ) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "resnet50")
        net = resnet50(weights=None, width_per_group=SEPARABLE_WIDTH[match] if separable else 64)
        stages = [
            Stage(nn.Sequential(net.conv1, net.bn1, net.relu), 2, 64),
            Stage(net.maxpool, 2, 64),
        ]
        for group in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in group:
                stages.append(Stage(block, block.stride, block.conv3.out_channels))
                if separable:
                    _separate(block)
        super().__init__(stages, flavour)


def _separate(block: Any) -> None:
    """Factorise the 3x3 convolution of a bottleneck, which keeps the batch norm after it."""
    full = block.conv2
    width = full.in_channels
    block.conv2 = nn.Sequential(
        nn.Conv2d(width, width, 3, full.stride, 1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 1, bias=False),
    )
    for layer in block.conv2:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
