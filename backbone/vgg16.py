"""VGG16 (Simonyan and Zisserman, arXiv 1409.1556) as body of a classifier and as base of SSD."""

from __future__ import annotations

from torch import nn

from backbone.alexnet import FC_WIDTH, fully_connected_neck
from backbone.body import Body, Stage
from backbone.flavour import Flavour, imagenet_flavour, keep_conventions

FLAVOUR = imagenet_flavour()
# (channels, number of 3x3 convolutions) between two pools.
GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(Body):
    """Thirteen 3x3 convolutions in five groups, each group followed by a 2x2 pool; no batch norm.

    The layers are those of torchvision's ``vgg16``, in the same order. They are built here because
    torchvision would also allocate the 124 M weights of its fully connected layers.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.

    Attributes:
        channels: {1: 64, 2: 128, 4: 256, 8: 512, 16: 512, 32: 512}. A map is the output of the
            last convolution before the next pool; stride 32 is pool5 itself.
    """

    def __init__(self, flavour: Flavour | None = None) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "vgg16")
        super().__init__([*_groups(), Stage(nn.MaxPool2d(2), 2, GROUPS[-1][0])], flavour)
        _init_vgg(self)

    def make_neck(self) -> tuple[nn.Module, int]:
        """Pool to 7x7, then fc6 and fc7 with ReLU and dropout: (module, 4096)."""
        neck = fully_connected_neck(self.channels[32], side=7)
        _init_vgg(neck)
        return neck, FC_WIDTH


class VGG16SSD(Body):
    """The base of SSD (Liu et al., arXiv 1512.02325), "deeplab-VGG" in the paper's table 13.

    pool5 keeps the resolution, and fc6 and fc7 become convolutions, fc6 a dilated one: at 300
    pixels conv4_3 is 38x38x512 and fc7 19x19x1024.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.

    Attributes:
        channels: {1: 64, 2: 128, 4: 256, 8: 512, 16: 1024}; stride 8 is conv4_3, 16 is fc7.
    """

    def __init__(self, flavour: Flavour | None = None) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "vgg16")
        width = GROUPS[-1][0]
        stages = [
            *_groups(ceil_after=3),  # SSD's 75 rows become 38, not 37.
            Stage(nn.MaxPool2d(3, stride=1, padding=1), 1, width),
            Stage(_activated(nn.Conv2d(width, 1024, 3, padding=6, dilation=6)), 1, 1024),
            Stage(_activated(nn.Conv2d(1024, 1024, 1)), 1, 1024),
        ]
        super().__init__(stages, flavour)
        _init_vgg(self)


def _groups(ceil_after: int = 0) -> list[Stage]:
    """All convolutions and the pools between groups; the pool after ``ceil_after`` rounds up."""
    stages, width = [], 3
    for number, (channels, depth) in enumerate(GROUPS, start=1):
        for _ in range(depth):
            conv = nn.Conv2d(width, channels, 3, padding=1)
            stages.append(Stage(_activated(conv), 1, channels))
            width = channels
        if number < len(GROUPS):
            pool = nn.MaxPool2d(2, ceil_mode=number == ceil_after)
            stages.append(Stage(pool, 2, channels))
    return stages


def _activated(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def _init_vgg(module: nn.Module) -> None:
    """Initialise as torchvision does: He's normal for convolutions, std .01 for linear layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
        else:
            continue
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
